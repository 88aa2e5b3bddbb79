"""Training steps of a ViT-S/16 by PyTorch's DistributedDataParallel over Gloo, for `cargo xtask
scaling`: LoRA by PEFT or full fine-tuning, a head of classes, AdamW. Prints the times of rank 0 as
JSON. Steps with and without sums of gradients take turns, so that their difference is what the sums
cost.

Needs: torch, timm, peft.
Run: python benches/peers/ddp.py lora --ranks 2 --threads 1 --batch 8 --steps 15 --warm-up 3
"""
import argparse
import contextlib
import json
import os
import socket
import time

import timm
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn

SITES = r".*\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"
CLASSES = 12


def model_of(work):
    torch.manual_seed(0)
    backbone = timm.create_model("vit_small_patch16_224", num_classes=0)
    if work == "lora":
        import peft
        backbone.requires_grad_(False)
        config = peft.LoraConfig(r=16, lora_alpha=16, target_modules=SITES)
        backbone = peft.inject_adapter_in_model(config, backbone)
    return nn.Sequential(backbone, nn.Linear(384, CLASSES)).train()


def step(model, optimiser, trainable, images, targets, context):
    optimiser.zero_grad(set_to_none=True)
    with context:
        F.cross_entropy(model(images), targets).backward()
    nn.utils.clip_grad_norm_(trainable, 5.0)
    optimiser.step()


def run(rank, options, port):
    torch.set_num_threads(options.threads)
    model = model_of(options.work)
    trainable = [p for p in model.parameters() if p.requires_grad]
    many = options.ranks > 1 and not options.apart
    if many:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        dist.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=options.ranks)
        model = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    optimiser = torch.optim.AdamW(trainable, lr=1e-4, weight_decay=0.05, fused=True)
    share = options.batch // options.ranks
    images, targets = torch.randn(share, 3, 224, 224), torch.randint(CLASSES, (share,))
    with_sums, without = [], []
    rounds = [True, False] if many else [True]
    for index in range(options.steps):
        for sums in rounds:
            context = contextlib.nullcontext() if sums else model.no_sync()
            if many:
                dist.barrier()
            start = time.perf_counter()
            step(model, optimiser, trainable, images, targets, context)
            if index >= options.warm_up:
                (with_sums if sums else without).append((time.perf_counter() - start) * 1e3)
    if rank == 0:
        sent = sum(p.numel() * p.element_size() for p in trainable) if many else 0
        print(json.dumps({"step_ms": with_sums, "step_without_sums_ms": without, "bytes": sent}))
    if many:
        dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=["lora", "full"])
    for flag in ["--ranks", "--threads", "--batch", "--steps", "--warm-up"]:
        parser.add_argument(flag, type=int, required=True)
    parser.add_argument("--apart", action="store_true", help="processes that share nothing")
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if options.ranks == 1:
        run(0, options, port)
    else:
        mp.spawn(run, (options, port), nprocs=options.ranks)


if __name__ == "__main__":
    main()
