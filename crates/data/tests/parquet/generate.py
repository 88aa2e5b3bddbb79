"""Writes the tables of this folder: `python generate.py [many]`. Needs datasets, NumPy, Pillow, PyArrow."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    from rows import tables

    for part, table in enumerate(tables()):
        table.to_parquet(os.path.join(HERE, f"train-{part:05d}-of-00002.parquet"), batch_size=2)


def many():
    """A million rows in some hundred bytes: nulls are counted, not written."""
    import pyarrow as pa
    import pyarrow.parquet

    rows = 10**6
    table = pa.table({"image": pa.nulls(rows)})
    plain = dict(row_group_size=rows, max_rows_per_page=rows, write_statistics=False, store_schema=False)
    pa.parquet.write_table(table, os.path.join(HERE, "many.parquet"), **plain)


if sys.argv[1:] != ["many"]:
    main()
many()
