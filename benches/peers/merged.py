"""A forward pass of timm's Swin-T or ViT-B/16 with a head of classes."""

import contextlib

import timm
import torch
from safetensors.torch import load_file

from worker import arguments, serve

NAMES = {"swin": "swin_tiny_patch4_window7_224", "vit": "vit_base_patch16_224"}
HEADS = {"swin": "head.fc.", "vit": "head."}


def main():
    defaults = {"tasks": 1, "batch": 4, "size": 224, "precision": "fp32"}
    options = arguments(backbone="vit", compile=0, **defaults)
    values = load_file(f"{options.folder}/weights.safetensors")
    state = {n.removeprefix("backbone."): v for n, v in values.items() if n.startswith("backbone.")}
    for end in ("weight", "bias"):
        state[HEADS[options.backbone] + end] = values[f"heads.set.{end}"]
    classes = values["heads.set.bias"].numel()
    name = NAMES[options.backbone]
    model = timm.create_model(name, num_classes=classes, img_size=options.size).eval().to(options.device)
    model.load_state_dict(state)
    images = load_file(f"{options.folder}/images.safetensors", options.device)["images"]
    amp = contextlib.nullcontext()
    if options.precision == "bf16":
        amp = torch.autocast(options.device.split(":")[0], torch.bfloat16)
    call = torch.compile(model) if options.compile else model

    def run():
        with torch.no_grad(), amp:
            return call(images)

    run()
    versions = f"torch {torch.__version__}, timm {timm.__version__}"
    serve(run, lambda: {"output.set": run()}, options.batch, versions, options.device)


main()
