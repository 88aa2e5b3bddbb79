"""Writes a simple feature pyramid of four levels (arXiv 2203.16527) with drawn parameters, and what
PyTorch makes of a map with an odd side, beside this file.

Needs: torch 2.11.0. Run: python crates/heads/tests/simple_pyramid/make.py
"""
import json
import pathlib

import torch
from torch import nn

DIM, CHANNELS = 4, 3


class Norm(nn.LayerNorm):
    """Over the channels of [batch, channels, height, width]."""

    def __init__(self, dim):
        super().__init__(dim, eps=1e-6)

    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Normed(nn.Conv2d):
    def __init__(self, before, kernel):
        super().__init__(before, CHANNELS, kernel, padding=kernel // 2, bias=False)
        self.norm = Norm(CHANNELS)

    def forward(self, x):
        return self.norm(super().forward(x))


def up(dim):
    return nn.ConvTranspose2d(dim, dim // 2, kernel_size=2, stride=2)


RESIZE = [
    ([up(DIM), Norm(DIM // 2), nn.GELU(), up(DIM // 2)], DIM // 4),
    ([up(DIM)], DIM // 2),
    ([], DIM),
    ([nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True)], DIM),
]

torch.manual_seed(0)
numbers = {"input": torch.randn(1, DIM, 2, 3).round(decimals=3)}
for index, (resize, dim) in enumerate(RESIZE):
    level = nn.Sequential(*resize, Normed(dim, 1), Normed(CHANNELS, 3))
    with torch.no_grad():
        for name, parameter in level.named_parameters():
            drawn = torch.randn(parameter.shape) * 0.5 + name.endswith("norm.weight")
            parameter.copy_(drawn.round(decimals=3))
            numbers[f"simfp_{index + 2}.{name}"] = parameter
        numbers[f"level{index}"] = level(numbers["input"])
written = {
    name: dict(shape=list(t.shape), values=[float(f"{v:.7g}") for v in t.flatten().tolist()])
    for name, t in numbers.items()}
lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in written.items())
pathlib.Path(__file__).with_name("torch.json").write_text("{\n" + lines + "\n}\n")
