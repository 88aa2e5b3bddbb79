"""HDF5 files by h5py: rows of samples, and the arrays of one image, also as MATLAB's v7.3; by SciPy
the map of one as MATLAB's v5."""

import h5py
import numpy as np
from scipy.io import savemat

HEAD = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124, b" ") + b"\x00\x02IM"
SMALL = {"compression": "gzip", "shuffle": True}


def main():
    n, y, x = np.mgrid[:4, :10, :12]
    with h5py.File("rows.h5", "w", libver="latest") as file:
        images = np.stack([n * 40 + y * 12 + x * 5, x * 20 + y, y * 25 + 7 * x], axis=3)
        file.create_dataset("image", data=(images % 256).astype(np.uint8), **SMALL)
        file.create_dataset("depth", data=(1.5 + n + y / 4).astype(np.float32), **SMALL)
        file.create_dataset("label", data=np.arange(4) % 2)
    y, x = np.mgrid[:24, :32]
    depth = (1.25 + y / 8).astype(np.float32)
    with h5py.File("frame.h5", "w", libver="latest") as file:
        file.create_dataset("depth", data=depth, **SMALL)
        normal = np.stack([0.6 * (x < 16), 0.6 * (x >= 16), np.full(x.shape, 0.8)], axis=2)
        file.create_dataset("normal", data=normal.astype(np.float32), **SMALL)
        file.create_dataset("segmentation", data=(y // 6 - 1).astype(np.int16), **SMALL)
        file.create_dataset("camera", data=np.eye(3))
        file.create_dataset("pose", data=np.zeros(7))
    savemat("map.mat", {"metres": depth}, do_compression=True)
    # MATLAB has the axes the other way round.
    with h5py.File("frame.mat", "w", libver="earliest", userblock_size=512) as file:
        file.create_dataset("depth", data=depth.T, **SMALL)
    with open("frame.mat", "r+b") as file:
        file.write(HEAD)


main()
