"""Writes a picture and what Pillow's bicubic filter makes of it at other sizes, beside this file.

Needs: Pillow 12, numpy. Run: python crates/data/tests/pillow/make.py
"""
import pathlib

import numpy
from PIL import Image

HERE = pathlib.Path(__file__).parent
SIZES = ((32, 48), (64, 64), (61, 30), (140, 100), (83, 61))


def main():
    draw = numpy.random.default_rng(0)
    noise = draw.integers(0, 256, (61, 83, 3), dtype="uint8")
    # Edges and flat parts beside noise: filters overshoot there, and are clipped.
    noise[:30, :40] = 255
    noise[10:20, 10:30] = 0
    image = Image.fromarray(noise)
    image.save(HERE / "photograph.png")
    for height, width in SIZES:
        resized = image.resize((width, height), Image.Resampling.BICUBIC)
        resized.save(HERE / f"{height}x{width}.png")


main()
