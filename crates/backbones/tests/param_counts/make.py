"""Writes how many parameters timm's models have beside the names in `timm.json`; a new name stands
there with any number.

Needs: torch 2.11.0, timm 1.0.31. Run: python crates/backbones/tests/param_counts/make.py
"""
import json
import pathlib

import timm
import torch

TABLE = pathlib.Path(__file__).parent / "timm.json"
# Ours, by a name of timm's of the same architecture.
MICRO = {
    "vit_micro_patch8_128": ("vit_base_patch16_224", dict(
        img_size=128, patch_size=8, embed_dim=160, depth=6, num_heads=5, class_token=False,
        global_pool="avg")),
    "swin_micro_patch4_window4_128": ("swin_tiny_patch4_window7_224", dict(
        img_size=128, window_size=4, embed_dim=32, num_heads=(1, 2, 4, 8))),
    "swinv2_micro_window4_128": ("swinv2_tiny_window8_256", dict(
        img_size=128, window_size=4, embed_dim=32, num_heads=(1, 2, 4, 8))),
    "pvt_v2_micro_128": ("pvt_v2_b0", dict(depths=(1, 1, 2, 1), embed_dims=(16, 32, 80, 128))),
    "convnext_micro_128": ("convnext_tiny", dict(depths=(1, 1, 3, 1), dims=(24, 48, 96, 192))),
    "vit_micro_patch8_dinov3_128": ("vit_small_patch16_dinov3", dict(
        img_size=128, patch_size=8, embed_dim=160, depth=6, num_heads=5)),
    "beit_micro_patch8_128": ("beit_large_patch16_224", dict(
        img_size=128, patch_size=8, embed_dim=160, depth=6, num_heads=5)),
    "hiera_micro_128": ("hiera_tiny_224", dict(
        img_size=128, embed_dim=32, num_heads=1, stages=(1, 2, 3, 2))),
}
# timm's weights of these names have no classifier, and ours one as the names beside them have.
WITH_CLASSIFIER = ["vit_small_patch8_224", "vit_large_patch32_224"]


def count(name):
    known, args = MICRO.get(name, (name, {}))
    if name in WITH_CLASSIFIER:
        args = dict(num_classes=1000)
    with torch.device("meta"):
        return sum(p.numel() for p in timm.create_model(known, **args).parameters())


counts = {name: count(name) for name in sorted(json.loads(TABLE.read_text()))}
TABLE.write_text(json.dumps(counts, indent=1) + "\n")
