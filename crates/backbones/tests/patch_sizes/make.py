"""Writes a tiny ViT of timm's with patches of 4, and the logits of models with other patches that
timm's own filter of checkpoints fits its weights to, beside this file.

Needs: torch 2.11.0, timm 1.0.31, safetensors.
Run: python crates/backbones/tests/patch_sizes/make.py
"""
import pathlib

import safetensors.torch
import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn


def vit(patch_size):
    return VisionTransformer(
        img_size=24, patch_size=patch_size, embed_dim=8, depth=2, num_heads=2, mlp_ratio=2.0,
        num_classes=5, no_embed_class=True).eval()


torch.manual_seed(0)
model = vit(4)
with torch.no_grad():
    for name, parameter in model.named_parameters():
        parameter.copy_(torch.randn(parameter.shape) * 0.3 + ("norm" in name and name.endswith("weight")))
tensors = {f"weights.{name}": value for name, value in model.state_dict().items()}
tensors["image"] = torch.randn(1, 3, 24, 24)
for patch_size in (2, 3, 6, 8):
    other = vit(patch_size)
    other.load_state_dict(checkpoint_filter_fn(model.state_dict(), other))
    with torch.no_grad():
        tensors[f"logits.{patch_size}"] = other(tensors["image"])
safetensors.torch.save_file(tensors, pathlib.Path(__file__).with_name("timm.safetensors"))
