"""TorchVision's loader: photographs and dense labels, decoded, augmented and stacked.

`--decode` reads photographs as tensors (torchvision.io) or as PIL images; `--first` turns before
resizing, as MTLoRA's code does, or after, which moves fewer pixels where the result is smaller.
"""

import json
import pathlib

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import io, tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from worker import arguments, serve

BILINEAR, NEAREST = v2.InterpolationMode.BILINEAR, v2.InterpolationMode.NEAREST
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# The mean colour, and no label.
FILL = {Image.Image: (124, 116, 104), tv_tensors.Image: (124, 116, 104), tv_tensors.Mask: 255}


def read_photograph(path, decode):
    if decode == "pil":
        return Image.open(path).convert("RGB")
    return tv_tensors.Image(io.decode_jpeg(io.read_file(str(path))))


def read_label(path):
    """Index maps; PIL decodes them faster than torchvision.io."""
    return tv_tensors.Mask(torch.from_numpy(np.array(Image.open(path))))


def numbers():
    """An image of 8 bits as normalised float32."""
    kinds = {tv_tensors.Image: torch.float32, "others": None}
    return [v2.ToImage(), v2.ToDtype(kinds, scale=True), v2.Normalize(MEAN, STD)]


def target(label, unlabelled):
    label = label.as_subclass(torch.Tensor).float()
    return label.masked_fill(label >= unlabelled, torch.nan)[None]


class Photographs(Dataset):
    def __init__(self, folder, tasks, transform, decode):
        self.folder, self.tasks = folder, tasks
        self.transform, self.decode = transform, decode
        self.names = sorted(path.stem for path in (folder / "images").iterdir())

    def __len__(self):
        return len(self.names)

    def read(self, name):
        photograph = read_photograph(self.folder / "images" / f"{name}.jpg", self.decode)
        return photograph, [read_label(self.folder / t / f"{name}.png") for t in self.tasks]

    def __getitem__(self, index):
        photograph, labels = self.transform(*self.read(self.names[index]))
        return photograph, [target(label, self.tasks[t]) for t, label in zip(self.tasks, labels)]


def augmentation(size, first):
    turn = [
        v2.RandomHorizontalFlip(0.5),
        v2.RandomAffine(20, scale=(0.75, 1.25), interpolation=BILINEAR, fill=FILL),
    ]
    resize = [v2.Resize((size, size), antialias=True)]
    geometry = turn + resize if first == "turn" else resize + turn
    return v2.Compose(geometry + [v2.ColorJitter(0.3, 0.3, 0.3)] + numbers())


def pinned(photograph, labels, draw):
    """A mirror image, turned and zoomed by given numbers, at its own size, with given colours."""
    moved = F.horizontal_flip(photograph)
    move = {"angle": -draw["degrees"], "translate": [0, 0], "scale": draw["scale"], "shear": [0.0]}
    moved = F.affine(moved, **move, interpolation=BILINEAR, fill=FILL[tv_tensors.Image])
    moved = F.adjust_brightness(moved, draw["brightness"])
    moved = F.adjust_contrast(moved, draw["contrast"])
    moved = F.adjust_saturation(moved, draw["saturation"])
    labels = [F.affine(F.horizontal_flip(m), **move, interpolation=NEAREST, fill=255) for m in labels]
    return v2.Compose(numbers())(moved), labels


def main():
    options = arguments(tasks=3, batch=4, size=224, precision="fp32", decode="tensor", first="turn")
    folder = pathlib.Path(options.folder) / "photographs"
    described = json.loads((folder / "photographs.json").read_text())
    tasks = dict(list(described["tasks"].items())[: options.tasks])
    data = Photographs(folder, tasks, augmentation(options.size, options.first), options.decode)
    loader = DataLoader(data, options.batch, shuffle=True, num_workers=0)

    def run():
        for photographs, targets in loader:
            assert photographs.shape[1] == 3 and len(targets) == len(tasks)

    def check():
        data.transform = lambda photograph, labels: pinned(photograph, labels, described["draw"])
        photograph, labels = data[0]
        data.transform = augmentation(options.size, options.first)
        found = {"output.image": photograph}
        # Boundaries are not sampled by ours: none of them is lost.
        sampled = [(task, label) for task, label in zip(tasks, labels) if task != "edge"]
        return found | {f"output.{task}": label.nan_to_num(-1.0) for task, label in sampled}

    versions = f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}"
    serve(run, check, len(data), versions)


main()
