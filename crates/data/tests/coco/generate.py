"""Writes the cases of `crates/data/tests/coco`: `python generate.py`. Needs pycocotools, Pillow."""

import json
import os

import numpy as np
from PIL import Image
from pycocotools import mask as coco

HERE = os.path.dirname(os.path.abspath(__file__))


def rows(mask):
    return ["".join(str(int(v)) for v in row) for row in mask]


def polygons(rng):
    """Corners, and height and width of the image."""
    yield [1, 1, 6, 1, 6, 4, 1, 4], (8, 9)
    yield [1.5, 1.5, 6.5, 1.5, 6.5, 4.5, 1.5, 4.5], (8, 9)
    yield [0, 0, 9, 0, 9, 8, 0, 8], (8, 9)
    yield [-3, -2, 12.25, 1.1, 4.4, 11.7], (8, 9)
    yield [2, 2, 2, 2, 2, 2], (5, 5)
    yield [2, 2, 7, 2, 4, 2], (5, 9)
    yield [3, 0, 3, 4, 3, 2], (5, 5)
    yield [1, 1, 7, 7, 7, 1, 1, 7], (9, 9)
    yield [4, 0, 5.5, 7, 0.5, 2.5, 7.5, 2.5, 2, 7], (9, 9)
    yield [10.2, 3.3, 14.1, 2.2, 12.5, 8.8], (12, 16)
    yield [-9, -9, -5, -9, -7, -4], (6, 6)
    yield [0.49, 0.49, 0.51, 0.49, 0.51, 0.51], (3, 3)
    for _ in range(40):
        height, width = int(rng.integers(1, 20)), int(rng.integers(1, 20))
        corners = int(rng.integers(3, 12))
        xy = np.stack([rng.uniform(-4, width + 4, corners), rng.uniform(-4, height + 4, corners)], 1)
        digits = int(rng.integers(0, 4))
        yield [round(float(v), digits) for v in xy.reshape(-1)], (height, width)


def texts(rng):
    for _ in range(12):
        height, width = int(rng.integers(1, 24)), int(rng.integers(1, 24))
        yield (rng.random((height, width)) < rng.random()).astype(np.uint8)
    yield np.zeros((3, 5), np.uint8)
    yield np.ones((3, 5), np.uint8)
    blob = np.zeros((300, 200), np.uint8)
    blob[20:280, 30:170] = 1
    blob[100:110] = 0
    yield blob


def counts(mask):
    runs, last, flat = [], 0, mask.flatten("F")
    run = 0
    for value in flat:
        if value != last:
            runs.append(run)
            run, last = 0, value
        run += 1
    return runs + [run]


def main():
    rng = np.random.default_rng(7)
    cases = []
    for xy, (height, width) in polygons(rng):
        mask = coco.decode(coco.merge(coco.frPyObjects([xy], height, width)))
        cases.append({"polygon": xy, "size": [height, width], "mask": rows(mask)})
    runs = []
    for mask in texts(rng):
        packed = coco.encode(np.asfortranarray(mask))
        runs.append({"size": packed["size"], "text": packed["counts"].decode(), "counts": counts(mask)})
    with open(os.path.join(HERE, "masks.json"), "w") as file:
        lines = ",\n".join(json.dumps(case) for case in cases)
        more = ",\n".join(json.dumps(case) for case in runs)
        file.write('{"polygons": [\n%s\n],\n"runs": [\n%s\n]}\n' % (lines, more))


main()
