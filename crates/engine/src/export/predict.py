"""Gives the numbers of `polyptych predict --raw`: python MODEL.onnx.py PHOTOGRAPH OUT.npz

Decoders of JPEG round and enlarge colours each in their own way, so numbers of JPEG photographs
are close to ours, and those of PNG the same but for rounding.
Needs numpy, Pillow, and onnxruntime, or torch for TorchScript. Settings stand in MODEL.onnx.json.
"""
import json
import sys

import numpy
from PIL import Image, ImageOps


def session(path):
    """The model as a function from an image to raw outputs by task."""
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            import torch
            model = torch.jit.load(path)
            return lambda x: {k: v.numpy() for k, v in model(torch.from_numpy(x)).items()}
    import onnxruntime
    model = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in model.get_outputs()]
    return lambda x: dict(zip(names, model.run(names, {model.get_inputs()[0].name: x})))


def bilinear(raw, size):
    """`[1, channels, h, w]` to `size`, pixels as areas (align_corners=False)."""
    for axis, to in zip((2, 3), size):
        at = numpy.maximum((numpy.arange(to) + 0.5) * raw.shape[axis] / to - 0.5, 0.0)
        low = at.astype(int)
        high = numpy.minimum(low + 1, raw.shape[axis] - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = to
        share = (at - low).astype("float32").reshape(shape)
        raw = raw.take(low, axis) * (1 - share) + raw.take(high, axis) * share
    return raw


def activate(raw, how):
    name = how["activation"]
    if name == "argmax":
        return raw.argmax(1, keepdims=True).astype("float32")
    if name == "sigmoid":
        return 1 / (1 + numpy.exp(-raw))
    if name == "unit_length":
        return raw / (numpy.sqrt((raw * raw).sum(1, keepdims=True)) + how["eps"])
    return numpy.maximum(raw, how["min"]) if name == "clamp_min" else raw


def main(model, photograph, out):
    settings = json.load(open(model + ".json", encoding="utf-8"))
    pre = settings["preprocess"]
    image = ImageOps.exif_transpose(Image.open(photograph)).convert("RGB")
    height, width = pre["size"]
    pixels = numpy.asarray(image.resize((width, height), Image.Resampling.BICUBIC), "float32")
    x = (pixels * numpy.float32(pre["scale"]) - pre["mean"]) / pre["std"]
    raw = session(model)(x.astype("float32").transpose(2, 0, 1)[None])
    maps = {}
    for task, spec in settings["tasks"].items():
        how, map = spec["output"], raw[spec["output"]["name"]]
        map = bilinear(map, image.size[::-1]) if how["resize"] else map[..., None, None]
        maps[task] = activate(map, how)[0].astype("float32")
        print(task, maps[task].shape, float(maps[task].min()), float(maps[task].max()))
    numpy.savez(out, **maps)


if __name__ == "__main__":
    main(sys.argv[0].removesuffix(".py"), *sys.argv[1:3])
