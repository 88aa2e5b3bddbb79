"""Writes the tables of this folder: `python generate.py [nulls]`. Needs datasets, NumPy, Pillow, PyArrow."""

import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "parquet"))


def main():
    from rows import tables

    for split, table in zip(["train", "val"], tables()):
        folder = os.path.join(HERE, "whole")
        table.save_to_disk(folder)
        os.makedirs(os.path.join(HERE, split), exist_ok=True)
        name = "data-00000-of-00001.arrow"
        shutil.copy(os.path.join(folder, name), os.path.join(HERE, split, name))
        shutil.rmtree(folder)


def nulls():
    """Rows that lack a value at every depth."""
    import pyarrow as pa

    inner = pa.struct([("note", pa.string())])
    schema = pa.schema([
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("deep", pa.struct([("inner", inner)])),
        ("masks", pa.list_(pa.struct([("bytes", pa.binary())]))),
        ("label", pa.int64()),
    ])
    rows = [
        dict(image=dict(bytes=b"one", path="a"), deep=dict(inner=dict(note="x")),
             masks=[dict(bytes=b"m"), None], label=7),
        dict(image=None, deep=None, masks=None, label=None),
        dict(image=dict(bytes=None, path="c"), deep=dict(inner=None), masks=[], label=9),
        dict(image=dict(bytes=b"four", path=None), deep=dict(inner=dict(note="y")),
             masks=[dict(bytes=None)], label=None),
    ]
    os.makedirs(os.path.join(HERE, "nulls"), exist_ok=True)
    path = os.path.join(HERE, "nulls", "rows.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def many():
    """A billion rows in some hundred bytes: a column without any value has no buffers."""
    import pyarrow as pa

    batch = pa.record_batch({"image": pa.nulls(10**9)})
    path = os.path.join(HERE, "claims", "many.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)


if sys.argv[1:] != ["nulls"]:
    main()
nulls()
many()
