"""Loads what `polyptych export` and `polyptych convert` wrote with the packages that it is for, and
prints the largest difference to our outputs.

Needs: torch 2.11.0, timm 1.0.31, peft 0.21.2, onnx, onnxruntime, safetensors.
docs/results/files.md has the commands and the versions.
Run: python docs/results/peers.py timm OUT PROBE
     python docs/results/peers.py peft OUT PROBE TIMM_OUT
     python docs/results/peers.py torchscript OUT PROBE
     python docs/results/peers.py onnx OUT PROBE
"""
import json
import pathlib
import sys

import safetensors.torch
import torch


def worst(found, expected):
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return f"{(found - expected).abs().max():.1e} of {expected.abs().max():.2f}"


def plain(name, model, seen):
    """A plain backbone: its logits, or the levels that heads read."""
    model.eval()
    if "logits" in seen:
        print(f"{name}: logits, largest difference {worst(model(seen['images']), seen['logits'])}")
        return
    levels = getattr(model, "base_model", model)
    levels = getattr(levels, "model", levels).forward_intermediates(
        seen["images"], output_fmt="NCHW", intermediates_only=True)
    ours = [seen[f"level.{index}"].permute(0, 3, 1, 2) for index in range(4)]
    compared = 0
    for index, (theirs, level) in enumerate(zip(levels[-len(ours):], ours)):
        # Theirs are behind each stage's blocks; a run may read a Swin's behind the merging.
        if theirs.shape != level.shape:
            found, wanted = list(theirs.shape), list(level.shape)
            print(f"{name}: level {index}, not compared: {found} here, {wanted} in the run")
            continue
        compared += 1
        print(f"{name}: level {index}, largest difference {worst(theirs, level)}")
    assert compared > 0, "no level has the shape of the run's"


def read_timm(out, seen):
    import timm
    config = json.loads((out / "config.json").read_text())
    args = config["model_args"]
    file = timm.create_model(
        config["architecture"], checkpoint_path=str(out / "model.safetensors"),
        num_classes=config["num_classes"], **args)
    plain(f"timm {timm.__version__}, checkpoint_path", file, seen)
    plain("timm, local-dir", timm.create_model(f"local-dir:{out}", pretrained=True), seen)


def read_peft(out, seen, timm_out):
    import peft
    import timm
    config = json.loads((timm_out / "config.json").read_text())
    base = timm.create_model(
        config["architecture"], checkpoint_path=str(out / "base_model.safetensors"),
        num_classes=config["num_classes"], **config["model_args"])
    plain(f"PEFT {peft.__version__}", peft.PeftModel.from_pretrained(base, str(out)), seen)


def read_torchscript(out, seen):
    extra = {"polyptych.json": ""}
    model = torch.jit.load(str(out), _extra_files=extra)
    print(f"torch {torch.__version__}, tasks {list(json.loads(extra['polyptych.json'])['tasks'])}")
    for batch in (len(seen["images"]), 1):
        outputs = model(seen["images"][:batch])
        for task, output in outputs.items():
            found = worst(output, seen[f"output.{task}"][:batch])
            print(f"torch.jit.load: {task}, batch of {batch}, largest difference {found}")


def read_onnx(out, seen):
    import onnx
    import onnxruntime
    model = onnx.load(str(out))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    print(f"onnx {onnx.__version__}, opset {model.opset_import[0].version}, full check passed")
    image, = session.get_inputs()
    print(f"onnxruntime {onnxruntime.__version__}, {image.name} {image.shape}")
    images, batches = seen["images"], (1, 3, 8)
    for task in names:
        found, expected = [], []
        for batch in batches:
            # The probe's images again and again; each one's output stays its own.
            index = torch.arange(batch) % len(images)
            output, = session.run([task], {image.name: images[index].numpy()})
            found.append(torch.from_numpy(output))
            expected.append(seen[f"output.{task}"][index])
        difference = worst(torch.cat(found), torch.cat(expected))
        print(f"onnxruntime: {task}, batches of {batches}, largest difference {difference}")


def main():
    kind, out, probe, *rest = sys.argv[1:]
    seen = safetensors.torch.load_file(probe)
    read = {"timm": read_timm, "peft": read_peft, "torchscript": read_torchscript,
            "onnx": read_onnx}[kind]
    with torch.no_grad():
        read(pathlib.Path(out), seen, *map(pathlib.Path, rest))


main()
