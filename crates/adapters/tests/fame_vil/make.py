"""Writes one adapter of a task and one cross-attention of FAME-ViL with all parameters drawn, and
what PyTorch's own modules make of them, beside this file.

Needs: torch 2.11.0, safetensors.
Run: python crates/adapters/tests/fame_vil/make.py
"""
import pathlib

import safetensors.torch
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
DIM, OTHER, WIDTH, HEADS, TASKS = 8, 6, 3, 2, ("one", "two")


def spread(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.4 + (parameter.dim() == 1) * 0.3)


def main():
    torch.manual_seed(5)
    saved = {}
    x = torch.randn(len(TASKS), 4, 5, DIM)
    outputs = []
    for index, task in enumerate(TASKS):
        norm, down, up = nn.LayerNorm(DIM), nn.Linear(DIM, WIDTH), nn.Linear(WIDTH, DIM)
        for module in (norm, down, up):
            spread(module)
        scale = torch.randn(1)
        saved |= {f"tsa.fame_norm_weight.{task}": norm.weight, f"tsa.fame_norm_bias.{task}": norm.bias,
                  f"tsa.fame_down_weight.{task}": down.weight, f"tsa.fame_down_bias.{task}": down.bias,
                  f"tsa.fame_up_weight.{task}": up.weight, f"tsa.fame_up_bias.{task}": up.bias,
                  f"tsa.fame_scale.{task}": scale}
        outputs.append(scale * up(torch.relu(down(norm(x[index])))))
    saved |= {"tsa_in": x, "tsa_out": torch.stack(outputs)}
    attention = nn.MultiheadAttention(DIM, HEADS, kdim=OTHER, vdim=OTHER, batch_first=True)
    norm, other, down, up = nn.LayerNorm(DIM), nn.LayerNorm(OTHER), nn.Linear(DIM, WIDTH), nn.Linear(WIDTH, DIM)
    for module in (attention, norm, other, down, up):
        spread(module)
    scale, v, u = torch.randn(1), torch.randn(3, 5, DIM), torch.randn(3, 4, OTHER)
    keep = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]).bool()
    read = attention(norm(v), other(u), other(u), key_padding_mask=~keep, need_weights=False)[0]
    q, k, w = attention.in_proj_bias.chunk(3)
    saved |= {"v": v, "u": u, "keep": keep.float(), "xaa_out": v + scale * up(torch.relu(down(read)))}
    for name, weight, bias in [
        ("q", attention.q_proj_weight, q), ("k", attention.k_proj_weight, k),
        ("v", attention.v_proj_weight, w), ("proj", attention.out_proj.weight, attention.out_proj.bias),
        ("down", down.weight, down.bias), ("up", up.weight, up.bias),
        ("norm", norm.weight, norm.bias), ("other_norm", other.weight, other.bias),
    ]:
        saved |= {f"xaa.fame_{name}.weight": weight, f"xaa.fame_{name}.bias": bias}
    saved["xaa.fame_scale"] = scale
    saved = {name: t.detach().clone().contiguous() for name, t in saved.items()}
    safetensors.torch.save_file(saved, HERE / "seen.safetensors")


main()
