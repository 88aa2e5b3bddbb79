"""Writes `objects.parquet` as Hugging Face's `datasets` 5.2 does: `python objects.py`."""

import os

import datasets
import numpy as np
from PIL import Image

ROWS = 4


def picture(number):
    y, x = np.mgrid[:24, :32]
    return Image.fromarray(np.stack([7 * x, 9 * y, 40 * number + 0 * x], axis=-1).astype(np.uint8))


def main():
    names = datasets.ClassLabel(names=["red", "green", "blue"])
    features = datasets.Features({
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["cat", "dog"]),
        "tags": datasets.Sequence(names),
        "objects": datasets.Sequence({"bbox": datasets.Sequence(datasets.Value("float32"), length=4)}),
        "caption": datasets.Value("string"),
        "when": datasets.Value("date32"),
    })
    rows = {
        "image": [picture(number) for number in range(ROWS)],
        # No label, as in a split whose labels are kept back.
        "label": [0, 1, -1, 1],
        "tags": [[], [0, 2], [1], [2, 1]],
        "objects": [[{"bbox": [1.0, 2.0, 3.0, 4.0]}]] * ROWS,
        "caption": [f"picture {number}" for number in range(ROWS)],
        "when": [None] * ROWS,
    }
    here = os.path.dirname(os.path.abspath(__file__))
    datasets.Dataset.from_dict(rows, features=features).to_parquet(os.path.join(here, "objects.parquet"))


main()
