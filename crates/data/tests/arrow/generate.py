"""Writes the tables of this folder: `python generate.py`. Needs datasets, NumPy, Pillow."""

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


main()
