"""One training step of LoRA on a ViT-B/16: timm's backbone, PEFT's layers."""

import re

import peft
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from step import Step
from worker import arguments, serve

SITES = r".*\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"


class Model(nn.Module):
    def __init__(self, size, classes):
        super().__init__()
        name = "vit_base_patch16_224"
        backbone = timm.create_model(name, num_classes=0, img_size=size)
        backbone.requires_grad_(False)
        config = peft.LoraConfig(r=16, lora_alpha=16, target_modules=SITES)
        self.backbone = peft.inject_adapter_in_model(config, backbone)
        self.head = nn.Linear(768, classes)

    def forward(self, image):
        return {"set": self.head(self.backbone(image))}


def ours(name):
    name = name.replace(".base_layer.", ".").replace(".default.", ".")
    return re.sub(r"^head\.", "heads.set.", name)


def total(outputs, targets):
    return F.cross_entropy(outputs["set"], targets["set"].flatten().long())


def main():
    options = arguments(tasks=1, batch=4, size=224, precision="fp32")
    classes = load_file(f"{options.folder}/weights.safetensors")["heads.set.bias"].numel()
    step = Step(Model(options.size, classes), total, options, ours)
    versions = f"torch {torch.__version__}, timm {timm.__version__}, peft {peft.__version__}"
    serve(step.run, step.check, options.batch, versions)


main()
