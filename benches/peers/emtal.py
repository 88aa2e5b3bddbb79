"""One training step of EMTAL on a ViT-B/16, in plain eager PyTorch on timm's modules.

Written from the equations: factors beside every projection, and a router whose gates scale the
hidden units of each expert. The router has not begun to fade.
"""

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from step import Step
from worker import arguments, serve

EXPERTS, TEMPERATURE, RANK = 16, 5.0, 4


class Weight(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(*shape))


class LoraLinear(nn.Linear):
    def __init__(self, base):
        super().__init__(base.in_features, base.out_features)
        self.lora_A, self.lora_B = Weight(RANK, base.in_features), Weight(base.out_features, RANK)

    def forward(self, x):
        low = F.linear(F.linear(x, self.lora_A.weight), self.lora_B.weight)
        return F.linear(x, self.weight, self.bias) + low


class Mlp(nn.Module):
    def __init__(self, mlp):
        super().__init__()
        self.fc1, self.fc2 = LoraLinear(mlp.fc1), LoraLinear(mlp.fc2)
        self.lora_router = Weight(EXPERTS, mlp.fc1.in_features)

    def forward(self, x):
        gates = (F.linear(x, self.lora_router.weight) / TEMPERATURE).softmax(-1) * EXPERTS
        hidden = self.fc1(x)
        width = hidden.shape[-1] // EXPERTS
        hidden = hidden * gates.repeat_interleave(width, -1)
        return self.fc2(F.gelu(hidden))


class Model(nn.Module):
    def __init__(self, size, classes):
        super().__init__()
        self.backbone = timm.create_model("vit_base_patch16_224", num_classes=0, img_size=size)
        for block in self.backbone.blocks:
            block.attn.qkv = LoraLinear(block.attn.qkv)
            block.attn.proj = LoraLinear(block.attn.proj)
            block.mlp = Mlp(block.mlp)
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_("lora_" in name)
        self.heads = nn.ModuleDict({task: nn.Linear(768, n) for task, n in classes.items()})

    def forward(self, image):
        features = self.backbone(image)
        return {task: head(features) for task, head in self.heads.items()}


def total(outputs, targets):
    return sum(F.cross_entropy(z, targets[t].flatten().long()) for t, z in outputs.items())


def main():
    options = arguments(tasks=4, batch=4, size=224, precision="fp32", compile=0)
    values = load_file(f"{options.folder}/weights.safetensors")
    heads = [name for name in values if name.startswith("heads.") and name.endswith(".bias")]
    classes = {name.split(".")[1]: values[name].numel() for name in heads}
    step = Step(Model(options.size, classes), total, options)
    versions = f"torch {torch.__version__}, timm {timm.__version__}"
    serve(step.run, step.check, options.batch, versions, options.device)


main()
