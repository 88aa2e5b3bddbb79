"""Writes the tables of this folder: `python generate.py`. Needs datasets, NumPy, Pillow."""

import os

from rows import tables

HERE = os.path.dirname(os.path.abspath(__file__))

for part, table in enumerate(tables()):
    table.to_parquet(os.path.join(HERE, f"train-{part:05d}-of-00002.parquet"), batch_size=2)
