"""Resizing as the program does it, to the last bit.

Pillow's `BICUBIC` is the same convolution with weights of 22 bits. The program's are 16-bit
integers, so that about one value in a hundred differs by one from Pillow's.
"""

from __future__ import annotations

import functools

import numpy

A = -0.5
"""The cubic's free number; with this one it is called Catmull-Rom."""
WEIGHT_BITS = 15
"""Of a weight, beside its sign."""
SUM_BITS = 22
"""What 32 bits leave beside a value of 8 bits and two for sums outside of [0, 255]."""


def resized(pixels: numpy.ndarray, height: int, width: int) -> numpy.ndarray:
    """`pixels`, `[h, w, 3]` of bytes, as `[height, width, 3]`: first across, then down."""
    # Whole rows are taken faster than columns.
    across = _convolved(pixels.swapaxes(0, 1), width).swapaxes(0, 1)
    return _convolved(across, height)


def _convolved(pixels: numpy.ndarray, target: int) -> numpy.ndarray:
    """`[source, lines, 3]` as `[target, lines, 3]`."""
    if len(pixels) == target:
        return pixels
    places, weights, bits = _taps(len(pixels), target)
    pixels = numpy.ascontiguousarray(pixels)
    total = numpy.full((target, *pixels.shape[1:]), 1 << (bits - 1), "int32")
    for place, weight in zip(places, weights):
        total += numpy.multiply(pixels[place], weight[:, None, None], dtype="int32")
    return (total >> bits).clip(0, 255).astype("uint8")


def _taps(source: int, target: int) -> tuple[numpy.ndarray, numpy.ndarray, int]:
    """Places and whole weights, `[taps, target]` each, and the binary digits behind the point."""
    scale = source / target
    # The cubic is stretched over all pixels that become one, which antialiases.
    stretch = max(scale, 1.0)
    centre = (numpy.arange(target) + 0.5) * scale
    first = numpy.maximum(numpy.floor(centre - 2.0 * stretch), 0.0).astype(int)
    end = numpy.minimum(numpy.ceil(centre + 2.0 * stretch), source).astype(int)
    places = first + numpy.arange((end - first).max())[:, None]
    weights = numpy.where(places < end, _cubic((places - (centre - 0.5)) * (1.0 / stretch)), 0.0)
    # One after the other: numpy's own sum has another order, and other last bits.
    weights /= functools.reduce(numpy.add, weights)
    bits = next(
        (bits for bits in range(SUM_BITS) if _whole(weights.max() * (2 << bits)) >> WEIGHT_BITS),
        SUM_BITS - 1,
    )
    return numpy.minimum(places, source - 1), _whole(weights * (1 << bits)), bits


def _cubic(x: numpy.ndarray) -> numpy.ndarray:
    x = numpy.abs(x)
    near = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * A
    return numpy.where(x < 1.0, near, numpy.where(x < 2.0, far, 0.0))


def _whole(numbers: numpy.ndarray) -> numpy.ndarray:
    """The nearest integers, away from zero where two are as near."""
    return numpy.trunc(numbers + numpy.copysign(0.5, numbers)).astype("int32")
