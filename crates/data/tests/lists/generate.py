"""Writes the tables of this folder: `python generate.py`. Needs datasets, NumPy, Pillow, PyArrow."""

import datetime
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Array2D, Array3D, Dataset, Features, Image, List, Value
from PIL import Image as Pillow

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = 6


def rows():
    features = Features(
        {
            "image": Image(),
            "tags": List(Value("int64")),
            "captions": List(Value("string")),
            "score": Value("float32"),
            "weight": Value("float64"),
            "depth": Array2D((2, 3), "float32"),
            "normals": Array3D((2, 2, 3), "float64"),
            "mask": List(List(Value("uint8"))),
            "ragged": List(List(Value("float32"))),
            "fixed": List(List(Value("int16"), length=2), length=3),
            "objects": List({"id": Value("int64"), "box": List(Value("float32"), length=4)}),
            "boxes": List(Value("float32")),
            "taken": Value("timestamp[s]"),
        }
    )
    count = range(ROWS)
    columns = {
        "image": [Pillow.fromarray(np.full((2, 3, 3), k, np.uint8)) for k in count],
        "tags": [None if k == 5 else [k, -k][: k % 3] for k in count],
        "captions": [[f"row {k}", None, "two\nlines"][: 1 + k % 3] for k in count],
        "score": [None if k == 4 else k / 4 for k in count],
        "weight": [k / 10 for k in count],
        "depth": [None if k == 3 else k + np.arange(6, dtype=np.float32).reshape(2, 3) / 8 for k in count],
        "normals": [k - np.arange(12.0).reshape(2, 2, 3) for k in count],
        "mask": [[[k, 200], [255, 7], [0, 1]] for k in count],
        "ragged": [[[1.0, None], [2.0] * (1 + k % 2)] for k in count],
        "fixed": [[[k, -1], [2, 3], [4, -300]] for k in count],
        "objects": [[{"id": 10 * k + n, "box": [k, n, 0.5, 1]} for n in range(k % 3)] for k in count],
        "boxes": [[0.5] * k for k in count],
        "taken": [datetime.datetime(2020, 1, 1 + k) for k in count],
    }
    return Dataset.from_dict(columns, features=features)


def pages():
    """Rows of several pages and row groups: images and texts, and lists that go on from page to page."""
    rng = np.random.default_rng(3)
    count = range(100)
    return pa.table(
        {
            "image": pa.array([{"bytes": rng.bytes(20 + k % 7), "path": None} for k in count]),
            "label": pa.array([None if k % 11 == 3 else k % 5 for k in count], pa.int32()),
            "words": pa.array([[f"{k}-{n}" for n in range(k % 4)] for k in count]),
            "depth": pa.array([[[k + n / 4 + m for m in range(4)] for n in range(3)] for k in count]),
        }
    )


def main():
    table = rows()
    table.to_parquet(os.path.join(HERE, "lists.parquet"), batch_size=4)
    whole = os.path.join(HERE, "whole")
    table.save_to_disk(whole)
    shutil.copy(os.path.join(whole, "data-00000-of-00001.arrow"), os.path.join(HERE, "lists.arrow"))
    shutil.rmtree(whole)
    small = dict(row_group_size=50, data_page_size=200, write_batch_size=10)
    for name, more in {
        "pages-snappy": dict(compression="snappy", use_dictionary=["label"]),
        "pages-gzip": dict(compression="gzip", data_page_version="2.0"),
        "pages-zstd": dict(compression="zstd"),
    }.items():
        pq.write_table(pages(), os.path.join(HERE, f"{name}.parquet"), **small, **more)
    with pa.OSFile(os.path.join(HERE, "pages.arrow"), "wb") as sink:
        with pa.ipc.new_stream(sink, pages().schema) as writer:
            writer.write_table(pages(), max_chunksize=30)


if __name__ == "__main__":
    main()
