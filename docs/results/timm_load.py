"""Loads the plain part of a merged model into timm and says what fitted.

Needs: timm 1.0.31, torch 2.11.0, safetensors.
Run: python docs/results/timm_load.py RUN/merged/backbone.safetensors
"""
import sys

import safetensors.torch
import timm
import torch

weights = safetensors.torch.load_file(sys.argv[1])
swin = timm.models.swin_transformer.SwinTransformer(
    img_size=96, patch_size=4, window_size=4, embed_dim=32, depths=(2, 2, 6, 2),
    num_heads=(1, 2, 4, 8), num_classes=0)
result = swin.load_state_dict(weights, strict=False)
print(f"timm {timm.__version__}, torch {torch.__version__}")
print(f"{len(weights)} tensors in the file, {len(weights) - len(result.unexpected_keys)} loaded")
print(f"unexpected: {result.unexpected_keys}")
print(f"missing: {result.missing_keys}")
with torch.no_grad():
    levels = swin.eval().forward_intermediates(torch.zeros(1, 3, 96, 96), intermediates_only=True)
print("levels:", [tuple(level.shape) for level in levels])
