"""The module against numbers of the program. `POLYPTYCH_RUN` names a run, and
`POLYPTYCH_PHOTOGRAPH` a PNG; without them only what needs no program is tested."""

import json
import math
import os
import subprocess

import numpy
import polyptych
import pytest
import torch
from PIL import Image
from polyptych._program import environment, program


class Toy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"depth": x[:, :1] - 1.0, "semseg": x}


SETTINGS = {
    "preprocess": {"size": [4, 6], "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.25] * 3},
    "tasks": {
        "depth": {
            "kind": "depth",
            "output": {
                "activation": "clamp_min",
                "min": 0.0,
                "resize": {"mode": "bilinear"},
                "values": "depth",
                "units": "m",
            },
        },
        "semseg": {
            "kind": "semseg",
            "classes": ["a", "b", "c"],
            "palette": [[0, 0, 0], [1, 1, 1], [2, 2, 2]],
            "output": {
                "activation": "argmax",
                "axis": 1,
                "resize": {"mode": "bilinear"},
                "values": "class index",
            },
        },
    },
}


@pytest.fixture
def exported(tmp_path):
    file = tmp_path / "model.pt"
    torch.jit.script(Toy()).save(str(file))
    (tmp_path / "model.pt.json").write_text(json.dumps(SETTINGS))
    return file


def test_the_console_script_is_not_taken_for_the_program(tmp_path, monkeypatch):
    script, wrapper = tmp_path / "polyptych", tmp_path / "wrapper"
    script.write_text("#!/usr/bin/python3\nfrom polyptych._program import main\nmain()\n")
    wrapper.write_text("#!/bin/sh\nexec polyptych\n")
    for file in (script, wrapper):
        file.chmod(0o755)
    monkeypatch.setattr("polyptych._program._OWN", tmp_path / "absent")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("POLYPTYCH_PROGRAM", str(wrapper))
    assert program() == str(wrapper)
    monkeypatch.setenv("POLYPTYCH_PROGRAM", str(script))
    with pytest.raises(FileNotFoundError, match="expected the program"):
        program()


def test_a_photograph_becomes_maps_of_its_own_size(exported):
    model = polyptych.load(exported)
    assert isinstance(model, torch.nn.Module) and model.size == (4, 6)
    assert list(model.tasks) == ["depth", "semseg"]
    assert model.tasks["semseg"].classes == ["a", "b", "c"]
    depth, semseg = model.tasks["depth"], model.tasks["semseg"]
    assert (depth.values, depth.units) == ("depth", "m")
    assert (semseg.values, semseg.units) == ("class index", "")
    image = Image.new("RGB", (12, 8), (255, 0, 0))
    assert model.preprocess(image).shape == (1, 3, 4, 6)
    assert torch.allclose(model.preprocess(image)[0, :, 0, 0], torch.tensor([2.0, -2.0, -2.0]))
    maps = polyptych.predict(model, image)
    assert maps["semseg"].shape == (1, 8, 12) and not maps["semseg"].any()
    assert maps["depth"].shape == (1, 8, 12) and torch.allclose(maps["depth"], torch.ones(1, 8, 12))


def test_activations_are_those_of_the_formulas():
    raw = torch.tensor([[3.0, -4.0]]).view(1, 2, 1, 1)
    outputs = {
        "argmax": ({}, [0]),
        "sigmoid": ({}, [1 / (1 + math.exp(-3)), 1 / (1 + math.exp(4))]),
        "unit_length": ({"eps": 0.0}, [0.6, -0.8]),
        "clamp_min": ({"min": 1.0}, [3.0, 1.0]),
        "none": ({}, [3.0, -4.0]),
    }
    tasks = {
        name: {"kind": "toy", "output": {"activation": name, "resize": None, **numbers}}
        for name, (numbers, _) in outputs.items()
    }
    model = polyptych.Model(Toy(), {**SETTINGS, "tasks": tasks})
    maps = model.postprocess({name: raw for name in outputs}, (1, 1))
    for name, (_, expected) in outputs.items():
        assert maps[name].flatten().tolist() == pytest.approx(expected), name


def test_an_activation_of_another_version_is_refused(exported):
    settings = json.loads(json.dumps(SETTINGS))
    settings["tasks"]["depth"]["output"]["activation"] = "exp"
    exported.with_name("model.pt.json").write_text(json.dumps(settings))
    expected = "tasks.depth.output.activation: expected one of argmax, .*, found exp"
    with pytest.raises(ValueError, match=expected):
        polyptych.load(exported)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    try:
        polyptych.program()
    except FileNotFoundError:
        pytest.skip("the program is not here")
    with pytest.raises(RuntimeError, match=str(tmp_path)):
        polyptych.load(tmp_path)


needs_a_run = pytest.mark.skipif("POLYPTYCH_RUN" not in os.environ, reason="no POLYPTYCH_RUN")


def maps_of_the_program(photograph, folder):
    out = str(folder / "maps")
    words = ["predict", os.environ["POLYPTYCH_RUN"], str(photograph), "--raw", "--out", out]
    subprocess.run([polyptych.program(), "-q", *words], check=True, env=environment())
    from safetensors.numpy import load_file

    (file,) = (folder / "maps").glob("*.safetensors")
    return load_file(file)


def assert_alike(model, photograph, of_the_program):
    maps = model.predict(photograph)
    assert list(maps) and set(maps) == set(of_the_program)
    for name, expected in of_the_program.items():
        # Where two classes are as probable, the last digit decides.
        bound = 1e-4 if model.tasks[name].values == "class index" else 1e-5
        found = maps[name].numpy().astype(expected.dtype)
        assert numpy.abs(found - expected).mean() <= bound * numpy.abs(expected).max(), name


@needs_a_run
def test_the_numbers_are_those_of_the_program(tmp_path):
    photograph = os.environ["POLYPTYCH_PHOTOGRAPH"]
    model = polyptych.load(os.environ["POLYPTYCH_RUN"])
    assert_alike(model, photograph, maps_of_the_program(photograph, tmp_path))


@needs_a_run
def test_photographs_of_any_size_are_resized_as_the_program_does(tmp_path):
    model = polyptych.load(os.environ["POLYPTYCH_RUN"])
    height, width = model.size
    sizes = [(2 * height + 3, 3 * width - 1), (height, width + 9), (height // 3, width // 2)]
    for size in sizes:
        folder = tmp_path / str(size)
        folder.mkdir()
        noise(size).save(folder / "noise.png")
        expected = maps_of_the_program(folder / "noise.png", folder)
        assert_alike(model, folder / "noise.png", expected)


@needs_a_run
def test_the_numbers_of_a_jpeg_are_those_of_its_pixels(tmp_path):
    noise((90, 130)).save(tmp_path / "noise.jpg", quality=90)
    Image.open(tmp_path / "noise.jpg").save(tmp_path / "decoded.png")
    model = polyptych.load(os.environ["POLYPTYCH_RUN"])
    expected = maps_of_the_program(tmp_path / "decoded.png", tmp_path)
    assert_alike(model, tmp_path / "noise.jpg", expected)


def noise(size):
    values = numpy.random.default_rng(0).integers(0, 256, (*size, 3), "uint8")
    return Image.fromarray(values)
