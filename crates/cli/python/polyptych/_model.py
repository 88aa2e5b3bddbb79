"""A trained model as a module of PyTorch."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping, Union

import numpy
import torch
from PIL import Image, ImageOps

from polyptych._program import environment, program
from polyptych._resize import resized

Photograph = Union[str, Path, Image.Image]


@dataclass(frozen=True)
class Task:
    """What one output of a model is."""

    name: str
    kind: str
    """`semseg`, `human_parts`, `sal`, `normals`, `depth`, `edge`, `classification`, `tags`,
    `retrieval` or `modified_retrieval`."""
    classes: list[str] = field(default_factory=list)
    """Names by class index; empty where the kind has no classes."""
    palette: list[list[int]] = field(default_factory=list)
    """One RGB colour per class, or none."""
    values: str = ""
    """What the numbers of `postprocess` are, such as `class index` or `depth`."""
    units: str = ""
    """The unit of these numbers, such as `m`; empty where they have none."""


class Model(torch.nn.Module):
    """A trained model: TorchScript inside, and what lies between a photograph and its numbers."""

    def __init__(self, network: torch.nn.Module, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.network = network
        self._preprocess = settings["preprocess"]
        self._outputs = {name: spec["output"] for name, spec in settings["tasks"].items()}
        self.tasks = {name: _task(name, spec) for name, spec in settings["tasks"].items()}
        """The tasks by name."""
        self.size: tuple[int, int] = tuple(self._preprocess["size"])
        """Height and width of the images that the network reads."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Raw outputs by task, of normalised images `[batch, 3, height, width]`."""
        return self.network(images)

    def preprocess(self, image: Photograph) -> torch.Tensor:
        """A photograph as `[1, 3, height, width]`: turned by EXIF, resized and normalised.

        These are the numbers of the program, except for JPEG: Pillow decodes it, whose decoder
        rounds and enlarges colours differently. For equal numbers give both a PNG.
        """
        pixels = resized(numpy.asarray(_opened(image)), *self.size).astype("float32")
        mean, std = (numpy.asarray(self._preprocess[key], "float32") for key in ("mean", "std"))
        pixels = (pixels * numpy.float32(self._preprocess["scale"]) - mean) / std
        return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()

    def postprocess(
        self, raw: Mapping[str, torch.Tensor], size: tuple[int, int]
    ) -> dict[str, torch.Tensor]:
        """Maps `[batch, channels, height, width]` at `size`, height and width, by task.

        Class indices, probabilities, unit vectors or depth, as `tasks[name].values` and `units`
        say. Tasks of whole images keep `[batch, classes]`, and retrieval `[batch, embed_dim]`.
        """
        return {name: _mapped(raw[name], how, size) for name, how in self._outputs.items()}

    @torch.inference_mode()
    def predict(self, image: Photograph) -> dict[str, torch.Tensor]:
        """Maps `[channels, height, width]` of a photograph, at its own size, by task."""
        image = _opened(image)
        device = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        raw = self(self.preprocess(image).to(device))
        maps = self.postprocess(raw, (image.height, image.width))
        return {name: values[0].cpu() for name, values in maps.items()}


def load(path: str | Path, device: str | torch.device = "cpu") -> Model:
    """The model of a run, of a merged model, or of a file that `polyptych export` wrote.

    A folder is exported to TorchScript by the program first, which takes some seconds.
    """
    path = Path(path)
    if path.is_file():
        return _read(path, device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.pt"
        _export(path, file)
        return _read(file, device)


def predict(model: Model, image: Photograph) -> dict[str, torch.Tensor]:
    """What `model` predicts for a photograph; see `Model.predict`."""
    return model.predict(image)


def _export(run: Path, file: Path) -> None:
    command = [program(), "-q", "export", str(run), "--format", "torchscript", "--out", str(file)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().removeprefix("error: "))


def _read(file: Path, device: str | torch.device) -> Model:
    settings = json.loads(Path(f"{file}.json").read_text(encoding="utf-8"))
    model = Model(torch.jit.load(str(file), map_location=device), settings)
    return model.eval().to(device)


def _task(name: str, spec: Mapping[str, Any]) -> Task:
    classes, palette, output = spec.get("classes", []), spec.get("palette", []), spec["output"]
    if output["activation"] not in _ACTIVATIONS:
        raise ValueError(
            f"tasks.{name}.output.activation: expected one of {', '.join(_ACTIVATIONS)},"
            f" found {output['activation']}; install the polyptych that wrote this file"
        )
    values, units = output.get("values", ""), output.get("units", "")
    return Task(name, spec["kind"], classes, palette, values, units)


def _opened(image: Photograph) -> Image.Image:
    if not isinstance(image, Image.Image):
        image = Image.open(image)
    turned: Image.Image = ImageOps.exif_transpose(image)
    return turned.convert("RGB")


def _mapped(raw: torch.Tensor, how: Mapping[str, Any], size: tuple[int, int]) -> torch.Tensor:
    if how["resize"]:
        raw = torch.nn.functional.interpolate(raw, size, mode="bilinear", align_corners=False)
    return _ACTIVATIONS[how["activation"]](raw, how)


_ACTIVATIONS: dict[str, Callable[[torch.Tensor, Mapping[str, Any]], torch.Tensor]] = {
    "argmax": lambda raw, how: raw.argmax(1, keepdim=True),
    "sigmoid": lambda raw, how: raw.sigmoid(),
    "unit_length": lambda raw, how: raw / (raw.square().sum(1, keepdim=True).sqrt() + how["eps"]),
    "clamp_min": lambda raw, how: raw.clamp_min(how["min"]),
    "none": lambda raw, how: raw,
}
