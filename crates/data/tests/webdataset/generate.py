"""Writes the shards of this folder: `python generate.py`. Needs webdataset, NumPy, Pillow."""

import io
import os

import numpy as np
import webdataset
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))


def picture(array, ending):
    file = io.BytesIO()
    Image.fromarray(array).save(file, ending)
    return file.getvalue()


def main():
    rng = np.random.default_rng(3)
    for shard in range(2):
        path = os.path.join(HERE, f"train-{shard:06d}.tar")
        with webdataset.TarWriter(path, mtime=0) as writer:
            for k in range(2 * shard, 2 * shard + 2):
                writer.write(
                    {
                        "__key__": f"street/{k:04d}",
                        "png": picture(rng.integers(0, 256, (10, 12, 3), np.uint8), "PNG"),
                        "seg.png": picture(np.full((10, 12), k % 3, np.uint8), "PNG"),
                        "cls": str(k % 2).encode(),
                    }
                )


main()
