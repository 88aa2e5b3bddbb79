"""One training step of MTLoRA on a Swin, in plain eager PyTorch.

Written from the equations, in the form that the published code has: one tensor per stream, and a
loop over the tasks at every adapted layer, residual, norm, activation, patch merging and head.
Names of parameters are those of our checkpoints, so that both sides start from one file.
"""

import contextlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from step import Step
from worker import arguments, serve

WINDOW = 7
OUTPUTS = {"semseg": 21, "human_parts": 7, "sal": 1, "normals": 3, "edge": 1, "depth": 1}
WEIGHTS = {"semseg": 1.0, "human_parts": 2.0, "sal": 5.0, "normals": 10.0, "edge": 50.0, "depth": 1.0}


def kind(task):
    """`semseg2` is a second task of the kind `semseg`."""
    return task.rstrip("0123456789")


class LoraLinear(nn.Linear):
    """`W x + b` with a shared and, where there are `tasks`, one more low-rank term for each."""

    def __init__(self, inputs, outputs, bias, config, tasks=()):
        super().__init__(inputs, outputs, bias)
        factor = lambda *shape: nn.Parameter(torch.zeros(*shape))
        self.lora_shared_A, self.lora_shared_B = factor(config.r, inputs), factor(outputs, config.r)
        if tasks:
            self.lora_tasks_A = nn.ParameterDict({t: factor(config.rt, inputs) for t in tasks})
            self.lora_tasks_B = nn.ParameterDict({t: factor(outputs, config.rt) for t in tasks})
        self.tasks, self.scale = tasks, config.scale
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x, streams=None):
        pretrained = F.linear(x, self.weight, self.bias)
        dropped = self.drop(x)
        low = F.linear(F.linear(dropped, self.lora_shared_A), self.lora_shared_B)
        shared = pretrained + low * self.scale
        if not self.tasks:
            return shared, None
        own = {}
        for task in self.tasks:
            read = dropped if streams is None else streams[task]
            low = F.linear(F.linear(read, self.lora_tasks_A[task]), self.lora_tasks_B[task])
            own[task] = pretrained + low * self.scale
        return shared, own


def each(function, streams):
    return None if streams is None else {task: function(x) for task, x in streams.items()}


def drop_path(x, rate, training):
    if not training or rate == 0.0:
        return x
    keep = 1.0 - rate
    mask = x.new_empty((x.shape[0],) + (1,) * (x.dim() - 1)).bernoulli_(keep)
    return x * mask.div_(keep)


def partition(x):
    batch, height, width, dim = x.shape
    x = x.view(batch, height // WINDOW, WINDOW, width // WINDOW, WINDOW, dim)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, WINDOW * WINDOW, dim)


def reverse(windows, side):
    batch = windows.shape[0] // (side // WINDOW) ** 2
    x = windows.view(batch, side // WINDOW, side // WINDOW, WINDOW, WINDOW, -1)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(batch, side, side, -1)


def relative_position_index():
    axis = torch.arange(WINDOW)
    row, column = (g.flatten() for g in torch.meshgrid(axis, axis, indexing="ij"))
    rows = row[:, None] - row[None, :] + WINDOW - 1
    columns = column[:, None] - column[None, :] + WINDOW - 1
    return rows * (2 * WINDOW - 1) + columns


def shift_mask(side, shift):
    region = torch.zeros(1, side, side, 1)
    cuts = (slice(0, -WINDOW), slice(-WINDOW, -shift), slice(-shift, None))
    for count, (rows, columns) in enumerate((r, c) for r in cuts for c in cuts):
        region[:, rows, columns] = count
    region = partition(region).squeeze(-1)
    return (region[:, None, :] != region[:, :, None]).float() * -100.0


class Attention(nn.Module):
    def __init__(self, dim, heads, config, tasks):
        super().__init__()
        self.heads = heads
        self.qkv = LoraLinear(dim, 3 * dim, True, config)
        self.proj = LoraLinear(dim, dim, True, config, tasks)
        table = torch.zeros((2 * WINDOW - 1) ** 2, heads)
        self.relative_position_bias_table = nn.Parameter(table)
        self.register_buffer("index", relative_position_index(), persistent=False)

    def forward(self, x, mask):
        count, area, dim = x.shape
        qkv = self.qkv(x)[0].reshape(count, area, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = (q * (dim // self.heads) ** -0.5) @ k.transpose(-2, -1)
        bias = self.relative_position_bias_table[self.index.view(-1)].view(area, area, -1)
        scores = scores + bias.permute(2, 0, 1).contiguous().unsqueeze(0)
        if mask is not None:
            windows = mask.shape[0]
            scores = scores.view(count // windows, windows, self.heads, area, area)
            scores = (scores + mask.unsqueeze(1).unsqueeze(0)).view(-1, self.heads, area, area)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(count, area, dim)
        return self.proj(mixed)


class Mlp(nn.Module):
    def __init__(self, dim, config, tasks):
        super().__init__()
        self.fc1 = LoraLinear(dim, 4 * dim, True, config, tasks)
        self.fc2 = LoraLinear(4 * dim, dim, True, config, tasks)

    def forward(self, x, streams):
        x, streams = self.fc1(x, streams)
        return self.fc2(F.gelu(x), each(F.gelu, streams))


class Block(nn.Module):
    def __init__(self, dim, heads, side, shift, rate, config, tasks):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = Attention(dim, heads, config, tasks)
        self.mlp = Mlp(dim, config, tasks)
        self.side, self.shift, self.rate = side, shift, rate
        self.register_buffer("mask", shift_mask(side, shift) if shift else None, persistent=False)

    def back(self, windows):
        x = reverse(windows, self.side)
        return torch.roll(x, (self.shift, self.shift), (1, 2)) if self.shift else x

    def forward(self, x):
        path = lambda t: drop_path(t, self.rate, self.training)
        h = self.norm1(x)
        if self.shift:
            h = torch.roll(h, (-self.shift, -self.shift), (1, 2))
        shared, streams = self.attn(partition(h), self.mask)
        residual = x
        x = residual + path(self.back(shared))
        streams = each(lambda t: residual + path(self.back(t)), streams)
        shared, own = self.mlp(self.norm2(x), each(self.norm2, streams))
        if own is not None:
            streams = {task: streams[task] + path(own[task]) for task in own}
        return x + path(shared), streams


class PatchMerging(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x):
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(parts, -1)))


class Stage(nn.Module):
    """timm's place for patch merging: at the start of the stage that follows."""

    def __init__(self, index, config, side, rates):
        super().__init__()
        dim, depth = 96 * 2**index, config.depths[index]
        self.downsample = PatchMerging(dim // 2) if index else None
        self.blocks = nn.ModuleList(
            Block(
                dim,
                (3, 6, 12, 24)[index],
                side,
                WINDOW // 2 if at % 2 and side > WINDOW else 0,
                rates[at],
                config,
                config.tasks if at + 1 == depth else (),
            )
            for at in range(depth)
        )


class PatchEmbed(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj, self.norm = nn.Conv2d(3, 96, 4, 4), nn.LayerNorm(96)

    def forward(self, image):
        return self.norm(self.proj(image).permute(0, 2, 3, 1))


class Swin(nn.Module):
    def __init__(self, config):
        super().__init__()
        rates = torch.linspace(0, config.drop_path, sum(config.depths)).tolist()
        starts = [sum(config.depths[:i]) for i in range(4)]
        self.patch_embed = PatchEmbed()
        self.layers = nn.ModuleList(
            Stage(i, config, config.size // 4 // 2**i, rates[starts[i] :]) for i in range(4)
        )

    def forward(self, image):
        x, levels = self.patch_embed(image), []
        for index, stage in enumerate(self.layers):
            for block in stage.blocks:
                x, streams = block(x)
            if index < 3:
                merge = self.layers[index + 1].downsample
                x, streams = merge(x), each(merge, streams)
            levels.append(streams)
        return levels


class Head(nn.Module):
    def __init__(self, outputs, channels_last):
        super().__init__()
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        widths = zip((192, 384, 768, 768), (18, 36, 72, 144))
        for index, (inputs, reduced) in enumerate(widths):
            setattr(self, f"downsample_{index}", nn.Conv2d(inputs, reduced, 1, bias=False))
        self.last_layer = nn.Sequential(
            nn.Conv2d(270, 1080, 1), nn.BatchNorm2d(1080), nn.ReLU(), nn.Conv2d(1080, outputs, 1)
        )

    def forward(self, levels):
        maps = [x.permute(0, 3, 1, 2).contiguous(memory_format=self.format) for x in levels]
        maps = [getattr(self, f"downsample_{i}")(x) for i, x in enumerate(maps)]
        size = maps[0].shape[-2:]
        resize = lambda x: F.interpolate(x, size, mode="bilinear", align_corners=False)
        return self.last_layer(torch.cat(maps[:1] + [resize(x) for x in maps[1:]], 1))


class MtLora(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.backbone = Swin(config)
        heads = {task: Head(OUTPUTS[kind(task)], config.channels_last) for task in config.tasks}
        self.heads = nn.ModuleDict(heads)

    def forward(self, image):
        levels = self.backbone(image)
        resize = lambda x: F.interpolate(x, image.shape[-2:], mode="bilinear", align_corners=False)
        return {t: resize(h([level[t] for level in levels])) for t, h in self.heads.items()}


def loss(task, z, y):
    if kind(task) in ("semseg", "human_parts"):
        return F.cross_entropy(z, y[:, 0].long())
    if kind(task) in ("sal", "edge"):
        positive = (y >= 0.5).float()
        weight = 1.0 - positive.mean() if kind(task) == "sal" else 0.95
        each = weight * positive * F.softplus(-z) + (1 - weight) * (1 - positive) * F.softplus(z)
        return each.mean()
    if kind(task) == "normals":
        z = z / (z.norm(dim=1, keepdim=True) + 1e-12)
    return (z - y).abs().mean()


def trains(name):
    frozen = any(f".{site}." in name for site in ("qkv", "proj", "fc1", "fc2"))
    return "lora_" in name or name.startswith("heads.") or "patch_embed" in name or not frozen


@contextlib.contextmanager
def certain(model):
    """Without dropout and stochastic depth."""
    rates = [(m, "p") for m in model.modules() if isinstance(m, nn.Dropout)]
    rates += [(m, "rate") for m in model.modules() if isinstance(m, Block)]
    before = [getattr(module, name) for module, name in rates]
    for module, name in rates:
        setattr(module, name, 0.0)
    yield
    for (module, name), rate in zip(rates, before):
        setattr(module, name, rate)


def total(outputs, targets):
    return sum(WEIGHTS[kind(t)] * loss(t, z, targets[t]) for t, z in outputs.items())


def main():
    defaults = {"tasks": 4, "batch": 4, "size": 224, "precision": "fp32", "r": 64, "rt": 4}
    options = arguments(compile=0, channels_last=0, **defaults)
    options.tasks = sorted(load_file(f"{options.folder}/targets.safetensors"))
    options.depths, options.scale, options.dropout, options.drop_path = (2, 2, 6, 2), 4.0, 0.05, 0.2
    model = MtLora(options)
    if options.channels_last:
        model.heads.to(memory_format=torch.channels_last)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trains(name))
    step = Step(model, total, options)

    def check():
        with certain(model):
            return step.check()

    serve(step.run, check, options.batch, f"torch {torch.__version__}", options.device)


main()
