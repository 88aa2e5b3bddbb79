"""Small photographs of forms that image tools write, and what Pillow makes of them.

Made with Pillow 13.0.0: `python generate.py` in this folder.
"""

import io

import numpy as np
from PIL import Image

rng = np.random.default_rng(7)
coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3)).astype("uint8"))
photo = coarse.resize((56, 40), Image.BICUBIC)


def jpeg(name, image, **options):
    image.save(f"{name}.jpg", "JPEG", quality=92, **options)
    rgb(name, f"{name}.jpg")


def rgb(name, file):
    Image.open(file).convert("RGB").save(f"{name}.rgb.png")


jpeg("progressive", photo, progressive=True)
jpeg("s411", photo, subsampling="4:1:1")
jpeg("s422", photo, subsampling="4:2:2")
jpeg("restart", photo, restart_marker_blocks=3)
jpeg("keep_rgb", photo, keep_rgb=True)
jpeg("grey", photo.convert("L"))
jpeg("cmyk", photo.convert("CMYK"))
photo.save("still.webp", lossless=True)
photo.save("still.tif", compression="tiff_lzw")
photo.save("still.bmp")
for ending in ("webp", "tif", "bmp"):
    rgb("still", f"still.{ending}")

small = photo.resize((14, 10))
small.convert("LA").save("grey_alpha.png")
palette = small.quantize(12)
palette.info["transparency"] = 3
palette.save("palette_transparent.png")
deep = np.asarray(small).astype("uint16")[..., 0] * 257 + 3
Image.fromarray(deep).save("deep.png")
