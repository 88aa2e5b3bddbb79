"""Writes the files of the tests: maps of 3 x 5 classes by tifffile, of 3 x 5 bits by Pillow.

Run with tifffile 2026.3, Pillow 13 and NumPy 2.4; classes are 5 * row + column.
"""

import numpy
import tifffile
from PIL import Image

classes = numpy.arange(15, dtype=numpy.uint8).reshape(3, 5)
plain = {"metadata": None, "software": False}
tifffile.imwrite("white.tif", classes, photometric="miniswhite", **plain)
tifffile.imwrite("white-metres.tif", classes.astype(">f4") / 2, photometric="miniswhite", byteorder=">", **plain)
tifffile.imwrite("big.tif", classes, bigtiff=True, photometric="minisblack", **plain)
tifffile.imwrite("big-white.tif", classes.astype("u2"), bigtiff=True, photometric="miniswhite", **plain)
Image.fromarray(classes % 2 == 1).save("bits.tif")
Image.fromarray(classes % 2 == 1).save("bits-fax.tif", compression="group4")
palette = Image.fromarray(classes, "P")
palette.putpalette([number for colour in range(256) for number in (255 - colour, colour, 0)])
palette.save("palette.tif")
