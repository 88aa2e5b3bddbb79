"""One training step of full fine-tuning of timm's ViT-B/16."""

import re

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from step import Step
from worker import arguments, serve


class Model(nn.Module):
    def __init__(self, size, classes):
        super().__init__()
        self.backbone = timm.create_model("vit_base_patch16_224", num_classes=0, img_size=size)
        self.head = nn.Linear(768, classes)

    def forward(self, image):
        return {"set": self.head(self.backbone(image))}


def ours(name):
    return re.sub(r"^head\.", "heads.set.", name)


def total(outputs, targets):
    return F.cross_entropy(outputs["set"], targets["set"].flatten().long())


def main():
    options = arguments(tasks=1, batch=4, size=224, precision="fp32")
    classes = load_file(f"{options.folder}/weights.safetensors")["heads.set.bias"].numel()
    step = Step(Model(options.size, classes), total, options, ours)
    versions = f"torch {torch.__version__}, timm {timm.__version__}"
    serve(step.run, step.check, options.batch, versions)


main()
