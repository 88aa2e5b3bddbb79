"""Writes what timm's own Swins and ViTs are and give at many sizes, beside this file.

`windows.json`: table rows, window and shift of every stage, for sizes, windows and patches.
`outputs.safetensors`: logits and last map of tiny models whose values follow from their names, so
that no weights need be kept; `values` is the formula, which the test repeats.
Needs: torch 2.11.0, timm 1.0.31, safetensors.
Run: python crates/backbones/tests/sizes/make.py
"""
import json
import pathlib

import safetensors.torch
import timm
import torch

HERE = pathlib.Path(__file__).parent
SIDES = (100, 104, 108, 112, 116, 120, 128, 192, 208, 224, 240, 256, 304, 368, 384, 448)
OBLONG = ((208, 120), (100, 240), (224, 112), (112, 448), (240, 368))
CASES = (
    ([104, 104], 4), ([100, 120], 4), ([112, 112], 7), ([120, 104], 7), ([60, 52], 7),
    ([208, 100], 7), ([100, 100], [4, 4, 7, 4]), ([112, 56], [7, 7, 14, 7]), ([120, 120], 12))


def swin(img_size, window_size, depths=(2, 2, 2, 2)):
    return timm.models.swin_transformer.SwinTransformer(
        img_size=img_size, patch_size=4, num_classes=3, embed_dim=4, depths=depths,
        num_heads=(1, 2, 2, 4), window_size=window_size, mlp_ratio=1.0).eval()


def windows(img_size, window_size):
    stages = []
    for stage in swin(img_size, window_size).layers:
        block = stage.blocks[1]
        table = block.attn.relative_position_bias_table
        stages.append({"rows": table.shape[0], "window": list(block.window_size),
                       "shift": list(block.shift_size)})
    return {"img_size": list(img_size), "window_size": window_size, "stages": stages}


def values(name, shape):
    """sin of 1, 2, 3, .. times a step that the length of the name gives, around 0 or 1."""
    count = int(torch.tensor(shape).prod())
    at = torch.arange(1, count + 1, dtype=torch.float64) * (0.37 + 0.01 * len(name))
    gain = 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0
    return (gain + 0.5 * torch.sin(at)).float().reshape(shape)


def fill(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values(name, parameter.shape))
    return model.eval()


def main():
    sizes = [(side, side) for side in SIDES] + list(OBLONG)
    found = [windows(size, window) for size in sizes for window in (4, 7, 12, [7, 7, 14, 7])]
    lines = ",\n".join(json.dumps(case) for case in found)
    (HERE / "windows.json").write_text(f"[\n{lines}\n]\n")
    outputs = {}
    for index, (img_size, window_size) in enumerate(CASES):
        model = fill(swin(img_size, window_size))
        image = values("image", [1, 3, *img_size])
        with torch.no_grad():
            features = model.forward_features(image)
            outputs[f"{index}.features"] = features.contiguous()
            outputs[f"{index}.logits"] = model.forward_head(features)
    cases = json.dumps([{"img_size": size, "window_size": window} for size, window in CASES])
    safetensors.torch.save_file(outputs, HERE / "outputs.safetensors", {"cases": cases})


main()
