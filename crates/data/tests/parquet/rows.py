"""Rows with images, masks, classes and texts; the seventh has no mask. Needs datasets, NumPy, Pillow."""

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, Sequence, Value
from PIL import Image as Pillow


def tables():
    rng = np.random.default_rng(5)
    features = Features(
        {
            "image": Image(),
            "boxes": Sequence(Value("float32")),
            "mask": Image(),
            "label": ClassLabel(names=["cat", "dog"]),
            "note": Value("string"),
        }
    )
    for part, count in enumerate([5, 3]):
        rows = range(5 * part, 5 * part + count)
        columns = {
            "image": [Pillow.fromarray(rng.integers(0, 256, (10, 12, 3), np.uint8)) for _ in rows],
            "boxes": [[0.5] * (k % 3) for k in rows],
            "mask": [None if k == 6 else Pillow.fromarray(np.full((10, 12), k % 3, np.uint8)) for k in rows],
            "label": [k % 2 for k in rows],
            "note": [f"row {k}" for k in rows],
        }
        yield Dataset.from_dict(columns, features=features)
