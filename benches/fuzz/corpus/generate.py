"""Writes the samples that fuzzing starts from: `python generate.py`. Needs Pillow."""

import gzip
import io
import json
import os
import struct
import zlib

from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))


def write(target, name, content):
    folder = os.path.join(HERE, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content)


def npy(descr, fortran, shape, data, version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(klass, shape, name, rest):
    flags = element(6, struct.pack("<II", klass, 0))
    return element(14, flags + element(5, struct.pack("<2i", *shape)) + element(1, name) + rest)


def mat(variable):
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + variable


def idx(sizes, values):
    return bytes([0, 0, 8, len(sizes)]) + b"".join(struct.pack(">I", size) for size in sizes) + values


def picture(mode, form, size=(5, 4), **options):
    image = Image.new(mode, size)
    image.putdata([(7 * k) % 256 if mode in "LP" else (k, 2 * k, 3 * k) for k in range(size[0] * size[1])])
    if mode == "P":
        image.putpalette([k % 256 for k in range(768)])
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def main():
    write("npy", "f4", npy("<f4", False, (2, 3), struct.pack("<6f", *range(6))))
    write("npy", "fortran", npy(">u2", True, (2, 2), bytes(8)))
    write("npy", "version2", npy("|b1", False, (3,), bytes(3), 2))
    double = matrix(6, (2, 2), b"groundTruth", element(9, bytes(32)))
    write("mat", "double", mat(double))
    packed = zlib.compress(double)
    write("mat", "packed", mat(struct.pack("<II", 15, len(packed)) + packed))
    part = matrix(2, (1, 1), b"", element(5, struct.pack("<i", 11)) + element(1, b"Boundaries\0")
                  + matrix(9, (2, 2), b"", element(2, bytes(4))))
    write("mat", "cell", mat(matrix(1, (1, 1), b"groundTruth", part)))
    write("idx", "images", idx([2, 2, 3], bytes(12)))
    write("idx", "labels", idx([3], bytes(3)))
    write("idx", "packed", gzip.compress(idx([3], bytes(3)), mtime=0))
    for mode in ("L", "P", "RGB"):
        write("label_png", mode.lower(), picture(mode, "PNG"))
    write("label_png", "two_bits", picture("P", "PNG", bits=2))
    write("image", "png", picture("RGB", "PNG"))
    write("image", "jpeg", picture("RGB", "JPEG", (16, 8)))
    write("image", "progressive", picture("RGB", "JPEG", (16, 8), progressive=True))
    write("image", "grey", picture("L", "JPEG", (8, 8)))
    task = 'name = "t"\nkind = "depth"\nlabel = "d/{id}.png"\nformat = "png16"\nscale = 0.001\n'
    text = f'name = "s"\n[layout]\nimages = "i/{{id}}.jpg"\n[splits]\nall = {{}}\n[[tasks]]\n{task}'
    write("manifest", "depth", text.encode())
    image = {"id": 1, "file_name": "a.jpg", "height": 20, "width": 30}
    one = {"image_id": 1, "category_id": 3}
    shapes = {
        "polygon": {**one, "segmentation": [[1.5, 2, 20.25, 3, 10, 18.75]]},
        "runs": {**one, "iscrowd": 1, "segmentation": {"size": [20, 30], "counts": [100, 20, 480]}},
        "text": {**one, "segmentation": {"size": [20, 30], "counts": "T3d0P?"}},
        "panoptic": {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 300, "category_id": 3}]},
    }
    for name, shape in shapes.items():
        text = {"images": [image], "categories": [{"id": 3, "name": "cat"}], "annotations": [shape]}
        write("coco", name, json.dumps(text).encode())
    with open(os.path.join(HERE, "../../../crates/data/tests/parquet/train-00001-of-00002.parquet"), "rb") as file:
        table = file.read()
    length = struct.unpack("<I", table[-8:-4])[0]
    write("parquet", "directory", table[-8 - length : -8])
    write("numbers", "pfm", b"PF\n2 1\n-1.0\n" + bytes(24))
    write("numbers", "tiff", picture("L", "TIFF"))
    header = {"__metadata__": {"format": "pt"}, "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    header = json.dumps(header).encode()
    write("safetensors", "one", struct.pack("<Q", len(header)) + header + bytes(8))
    empty = b'{"w":{"dtype":"BF16","shape":[0,4],"data_offsets":[0,0]}}'
    write("safetensors", "empty", struct.pack("<Q", len(empty)) + empty)
    write("recipe", "broken", b'name = "r"\nseed = 0\n[backbone]\nname = "x"\n')
    lora = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["qkv"], "bias": "none"}
    write("peft_config", "lora", json.dumps(lora).encode())
    lora["target_modules"] = ".*qkv"
    write("peft_config", "pattern", json.dumps({**lora, "use_dora": False, "rank_pattern": {}}).encode())


if __name__ == "__main__":
    main()
