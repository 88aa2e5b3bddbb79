"""TorchVision's loader: photographs and dense labels, decoded, augmented and stacked.

`--source` reads files, tar shards with webdataset, or tables of Parquet or Arrow with datasets.
`--decode` reads photographs of files as tensors (torchvision.io) or as PIL images; `--first` turns
before resizing, as MTLoRA's code does, or after, which moves fewer pixels where the result is
smaller.
"""

import importlib
import io as bytes_io
import json
import pathlib

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset
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


def mask(picture):
    return tv_tensors.Mask(torch.from_numpy(np.array(picture)))


def read_label(path):
    """Index maps; PIL decodes them faster than torchvision.io."""
    return mask(Image.open(path))


def numbers():
    """An image of 8 bits as normalised float32."""
    kinds = {tv_tensors.Image: torch.float32, "others": None}
    return [v2.ToImage(), v2.ToDtype(kinds, scale=True), v2.Normalize(MEAN, STD)]


def target(label, unlabelled):
    label = label.as_subclass(torch.Tensor).float()
    return label.masked_fill(label >= unlabelled, torch.nan)[None]


class Prepared:
    """What becomes of a sample, wherever it comes from."""

    def __init__(self, tasks, transform):
        self.tasks, self.transform = tasks, transform

    def prepare(self, photograph, labels):
        photograph, labels = self.transform(photograph, labels)
        return photograph, [target(label, self.tasks[t]) for t, label in zip(self.tasks, labels)]


class Photographs(Prepared, Dataset):
    """Files."""

    def __init__(self, folder, tasks, transform, decode):
        super().__init__(tasks, transform)
        self.folder, self.decode = folder, decode
        self.names = sorted(path.stem for path in (folder / "images").iterdir())

    def __len__(self):
        return len(self.names)

    def read(self, name):
        photograph = read_photograph(self.folder / "images" / f"{name}.jpg", self.decode)
        return photograph, [read_label(self.folder / t / f"{name}.png") for t in self.tasks]

    def __getitem__(self, index):
        return self.prepare(*self.read(self.names[index]))


class Table(Prepared, Dataset):
    """A table of Hugging Face's datasets, whose images are PIL's."""

    def __init__(self, folder, tasks, transform, kind):
        super().__init__(tasks, transform)
        datasets = importlib.import_module("datasets")
        datasets.disable_progress_bars()
        if kind == "arrow":
            self.rows = datasets.load_from_disk(str(folder / "arrow/train"))
        else:
            files = [str(path) for path in sorted((folder / "parquet").glob("*.parquet"))]
            cache = str(folder / "cache")
            self.rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        return self.prepare(row["image"], [mask(row[task]) for task in self.tasks])


class Shards(Prepared, IterableDataset):
    """Tar shards, in their order but for a window of samples that is shuffled."""

    def __init__(self, folder, tasks, transform):
        super().__init__(tasks, transform)
        webdataset = importlib.import_module("webdataset")
        shards = [str(path) for path in sorted((folder / "shards").glob("*.tar"))]
        self.samples = webdataset.WebDataset(shards, shardshuffle=False)
        self.window = 0

    def __iter__(self):
        samples = self.samples.shuffle(self.window) if self.window else self.samples
        for sample in samples:
            picture = {part: bytes_io.BytesIO(data) for part, data in sample.items() if part[0] != "_"}
            labels = [mask(Image.open(picture[f"{task}.png"])) for task in self.tasks]
            yield self.prepare(Image.open(picture["jpg"]).convert("RGB"), labels)


def source(kind, folder, tasks, transform, decode):
    if kind == "files":
        return Photographs(folder, tasks, transform, decode)
    if kind == "webdataset":
        return Shards(folder, tasks, transform)
    return Table(folder, tasks, transform, kind)


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
    options = arguments(
        tasks=3, batch=4, size=224, precision="fp32", source="files", decode="tensor", first="turn"
    )
    folder = pathlib.Path(options.folder) / "photographs"
    described = json.loads((folder / "photographs.json").read_text())
    tasks = dict(list(described["tasks"].items())[: options.tasks])
    augment = augmentation(options.size, options.first)
    data = source(options.source, folder, tasks, augment, options.decode)
    shards = options.source == "webdataset"
    count = len(list((folder / "images").iterdir()))

    def run():
        if shards:
            data.window = count
        seen = 0
        for photographs, targets in DataLoader(data, options.batch, shuffle=None if shards else True):
            assert photographs.shape[1] == 3 and len(targets) == len(tasks)
            seen += len(photographs)
        assert seen == count

    def check():
        data.transform = lambda photograph, labels: pinned(photograph, labels, described["draw"])
        photograph, labels = next(iter(data)) if shards else data[0]
        data.transform = augment
        found = {"output.image": photograph}
        # Boundaries are not sampled by ours: none of them is lost.
        sampled = [(task, label) for task, label in zip(tasks, labels) if task != "edge"]
        return found | {f"output.{task}": label.nan_to_num(-1.0) for task, label in sampled}

    versions = f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}"
    if options.source != "files":
        package = "webdataset" if shards else "datasets"
        versions += f", {package} {importlib.import_module(package).__version__}"
    serve(run, check, count, versions)


main()
