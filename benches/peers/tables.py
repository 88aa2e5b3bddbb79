"""The photographs of `FOLDER` as a table of Hugging Face's datasets: `python tables.py FOLDER parquet`.

One column of images for the photographs and one for each task, as files hold them. `arrow` writes
what `save_to_disk` writes.
"""

import json
import pathlib
import sys

import datasets
from datasets import Dataset, Features, Image


def main(folder, kind):
    datasets.disable_progress_bars()
    folder = pathlib.Path(folder)
    tasks = json.loads((folder / "photographs.json").read_text())["tasks"]
    names = sorted(path.stem for path in (folder / "images").iterdir())

    def column(part, ending):
        return [{"bytes": (folder / part / f"{name}.{ending}").read_bytes(), "path": None} for name in names]

    columns = {"image": column("images", "jpg")} | {task: column(task, "png") for task in tasks}
    table = Dataset.from_dict(columns, features=Features({name: Image() for name in columns}))
    out = folder / kind
    out.mkdir(exist_ok=True)
    if kind == "arrow":
        table.save_to_disk(out / "train")
    else:
        table.to_parquet(out / "train-00000-of-00001.parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
