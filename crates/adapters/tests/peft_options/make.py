"""Adapters that PEFT trained with one option each, and the logits of what PEFT merges of them.

Needs: torch 2.11.0, timm 1.0.31, peft 0.21.2, safetensors; the tests do not.
Run: PYTHONHASHSEED=0 python crates/adapters/tests/peft_options/make.py
"""
import pathlib
import shutil

import peft
import safetensors.torch
import timm
import torch

HERE = pathlib.Path(__file__).parent
PEERS = HERE / "../../../backbones/tests/peers"
QKV = dict(r=2, lora_alpha=4, target_modules=["qkv"])
OPTIONS = {
    "rslora": {**QKV, "use_rslora": True, "lora_alpha": 3},
    "patterns": {**QKV, "target_modules": ["qkv", "fc1"], "rank_pattern": {r"blocks\.1\..*": 1, "qkv": 3},
                 "alpha_pattern": {"^blocks.0.attn.qkv": 3, r"(?!attn\.).*fc\d": 5}},
    "layers": {**QKV, "layers_to_transform": [1], "layers_pattern": "blocks"},
    "exclude": {**QKV, "exclude_modules": ["blocks.0.attn.qkv"]},
    "lora_bias": {**QKV, "lora_bias": True},
    "convolution": {**QKV, "target_modules": ["patch_embed.proj"], "use_rslora": True},
    "bias_and_head": {**QKV, "bias": "all", "modules_to_save": ["head"]},
    "dora_convolution": {**QKV, "target_modules": ["patch_embed.proj", "fc2"], "use_dora": True},
    "dora_patterns": {**QKV, "use_dora": True, "use_rslora": True, "alpha_pattern": {"qkv": 7}},
    "pissa": {**QKV, "init_lora_weights": "pissa"},
    "pissa_rslora": {**QKV, "init_lora_weights": "pissa", "use_rslora": True, "use_dora": True},
    "olora": {**QKV, "init_lora_weights": "olora"},
    "orthogonal": {**QKV, "init_lora_weights": "orthogonal"},
    "bin": QKV,
    # A matrix has no more singular values, and no more orthogonal columns, than its smaller side.
    "pissa_large_rank": {**QKV, "r": 32, "target_modules": ["head"], "init_lora_weights": "pissa", "use_rslora": True},
    "olora_large_rank": {**QKV, "r": 32, "target_modules": ["head"], "init_lora_weights": "olora"},
}


def base():
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2.0, num_classes=5)
    model.load_state_dict(safetensors.torch.load_file(PEERS / "timm_vit.safetensors"))
    return model.eval()


def main():
    for old in HERE.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    image = safetensors.torch.load_file(PEERS / "seen.safetensors")["small"]
    seen = {}
    for index, (name, options) in enumerate(OPTIONS.items()):
        torch.manual_seed(index)
        adapted = peft.get_peft_model(base(), peft.LoraConfig(**options))
        with torch.no_grad():
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn_like(parameter))
        adapted.save_pretrained(HERE / name, safe_serialization=name != "bin")
        (HERE / name / "README.md").unlink(missing_ok=True)
        merged = peft.PeftModel.from_pretrained(base(), HERE / name).merge_and_unload()
        with torch.no_grad():
            seen[name] = merged(image).contiguous()
    safetensors.torch.save_file(seen, HERE / "seen.safetensors")


main()
