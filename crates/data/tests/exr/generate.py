"""Writes the pictures of this folder: `python generate.py`. Needs OpenEXR, NumPy."""

import os

import numpy as np
import OpenEXR

HERE = os.path.dirname(os.path.abspath(__file__))


def write(name, channels, compression):
    header = {"compression": compression, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, channels) as file:
        file.write(os.path.join(HERE, name))


def main():
    depth = (0.5 * np.arange(12).reshape(3, 4)).astype(np.float32)
    write("depth.exr", {"Z": depth}, OpenEXR.ZIP_COMPRESSION)
    normals = np.zeros((3, 4, 3), np.float16)
    normals[1, 2] = [0.5, -0.25, 1.0]
    write("normals.exr", {"RGB": normals}, OpenEXR.PIZ_COMPRESSION)


main()
