"""One training step of timm's ViT-B/16 with a head of classes, whatever trains in it."""

import re

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from step import Step
from worker import arguments, serve


class Model(nn.Module):
    def __init__(self, size, classes, adapt):
        super().__init__()
        backbone = timm.create_model("vit_base_patch16_224", num_classes=0, img_size=size)
        self.backbone = adapt(backbone)
        self.head = nn.Linear(768, classes)

    def forward(self, image):
        return {"set": self.head(self.backbone(image))}


def total(outputs, targets):
    return F.cross_entropy(outputs["set"], targets["set"].flatten().long())


def train(adapt=lambda backbone: backbone, plain=lambda name: name, versions=""):
    """Serves steps. `adapt` makes the backbone one that trains, `plain` takes a name of its
    parameters to that of our checkpoints, and `versions` are those beside torch's and timm's."""
    options = arguments(tasks=1, batch=4, size=224, precision="fp32", compile=0)
    classes = load_file(f"{options.folder}/weights.safetensors")["heads.set.bias"].numel()
    ours = lambda name: re.sub(r"^head\.", "heads.set.", plain(name))
    step = Step(Model(options.size, classes, adapt), total, options, ours)
    versions = f"torch {torch.__version__}, timm {timm.__version__}{versions}"
    serve(step.run, step.check, options.batch, versions, options.device)
