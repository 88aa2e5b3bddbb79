"""Writes a stuff and a keypoints file as COCO's, and their labels: `python labels.py`. Needs pycocotools, NumPy."""

import contextlib
import io
import json
import os

import numpy as np
from pycocotools import mask as coding
from pycocotools.coco import COCO

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {3: (9, 12), 8: (7, 8), 11: (5, 6)}
NAMES = {3: "000000000003.jpg", 8: "000000000008.jpg", 11: "000000000011.jpg"}


def images():
    return [{"id": k, "file_name": NAMES[k], "height": h, "width": w, "license": 1} for k, (h, w) in SIZES.items()]


def runs(mask, text):
    packed = coding.encode(np.asfortranarray(mask.astype(np.uint8)))
    if text:
        return {"size": packed["size"], "counts": packed["counts"].decode()}
    flat = np.concatenate([[0], mask.flatten("F").astype(np.int8), [2]])
    ends = np.flatnonzero(np.diff(flat))
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], ends])).tolist()}


def annotation(number, image, category, segmentation, **more):
    return {"id": number, "image_id": image, "category_id": category, "iscrowd": 0, "area": 1, "bbox": [0, 0, 1, 1],
            "segmentation": segmentation, **more}


def stuff():
    """Regions as text of runs, `other` among them, as COCO-Stuff has them; the last image has none."""
    categories = [
        {"supercategory": "textile", "id": 92, "name": "banner"},
        {"supercategory": "sky", "id": 157, "name": "sky-other"},
        {"supercategory": "other", "id": 183, "name": "other"},
    ]
    y, x = np.mgrid[:9, :12]
    annotations = [
        annotation(20000001, 3, 157, runs(y + x // 4 < 4, True)),
        annotation(20000002, 3, 92, runs((x - 8) ** 2 + (y - 6) ** 2 < 8, True)),
        annotation(20000003, 3, 183, runs((y + x // 4 >= 4) & (x < 4), True)),
    ]
    y, x = np.mgrid[:7, :8]
    annotations.append(annotation(20000004, 8, 183, runs((x + y) % 3 == 0, True)))
    return {"info": {}, "licenses": [], "images": images(), "annotations": annotations, "categories": categories}


def keypoints():
    """People as polygons, one of them in two pieces, and a crowd as runs without keypoints."""
    person = {"supercategory": "person", "id": 1, "name": "person",
              "keypoints": ["nose", "left_eye", "right_eye"], "skeleton": [[2, 3], [1, 2], [1, 3]]}
    points = {"keypoints": [4, 2, 2, 5, 1, 1, 0, 0, 0], "num_keypoints": 2}
    y, x = np.mgrid[:7, :8]
    annotations = [
        annotation(1, 3, 1, [[1.2, 1.7, 5.5, 1.25, 6.01, 6.3, 2.5, 7.75]], **points),
        annotation(2, 3, 1, [[7, 0.5, 11.4, 2.2, 8.3, 4.9], [8, 6, 11, 6, 11, 8.5, 8, 8.5]], **points),
        annotation(900100000003, 8, 1, runs((x > 4) & (y > 1), False), keypoints=[0] * 9, num_keypoints=0),
    ]
    annotations[2]["iscrowd"] = 1
    return {"info": {}, "licenses": [], "images": images(), "annotations": annotations, "categories": [person]}


def labels(file):
    """Number of the category, from 1, by the last annotation of each pixel; 0 without one."""
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO(os.path.join(HERE, file))
    order = {category["id"]: k + 1 for k, category in enumerate(api.dataset["categories"])}
    maps = {}
    for image, size in SIZES.items():
        found = np.zeros(size, int)
        for one in api.dataset["annotations"]:
            if one["image_id"] == image:
                found[api.annToMask(one) == 1] = order[one["category_id"]]
        maps[NAMES[image]] = ["".join(map(str, row)) for row in found]
    return maps


def main():
    found = {}
    for name, content in [("stuff.json", stuff()), ("person_keypoints.json", keypoints())]:
        with open(os.path.join(HERE, name), "w") as file:
            json.dump(content, file, indent=0)
            file.write("\n")
        found[name] = labels(name)
    with open(os.path.join(HERE, "labels.json"), "w") as file:
        json.dump(found, file, indent=1)
        file.write("\n")


main()
