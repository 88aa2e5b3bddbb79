"""HDF5 files by h5py: rows of samples as MATLAB's v7.3 has NYUD-v2, and arrays of one frame."""

import h5py
import numpy as np

HEAD = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124, b" ") + b"\x00\x02IM"


def rows(n, *shape):
    return np.arange(n * int(np.prod(shape, dtype=int))).reshape(n, *shape)


def main():
    # MATLAB has [height, width, 3, rows], so HDF5 has the axes the other way round.
    with h5py.File("nyu.mat", "w", libver="earliest", userblock_size=512) as file:
        images = (rows(3, 3, 6, 4) % 251).astype(np.uint8)
        file.create_dataset("images", data=images, chunks=(1, 1, 6, 4), compression="gzip")
        depths = (rows(3, 6, 4) / 8 + 0.5).astype(np.float32)
        depths = file.create_dataset("depths", data=depths, chunks=(1, 6, 4), compression="gzip", shuffle=True)
        file.create_dataset("labels", data=(rows(3, 6, 4) % 5).astype(np.uint16), compression="gzip")
        file.create_dataset("accelData", data=np.zeros((4, 3), np.float32))
        names = file.create_dataset("names", (1, 2), dtype=h5py.ref_dtype)
        names[0, 0] = depths.ref
    with open("nyu.mat", "r+b") as file:
        file.write(HEAD)
    for version in ["earliest", "latest"]:
        with h5py.File(f"frame-{version}.hdf5", "w", libver=version) as file:
            half = (rows(4, 6) / 4 - 1).astype(np.float16)
            file.create_dataset("dataset", data=half)
            group = file.create_group("geometry")
            group.create_dataset("normal", data=rows(4, 6, 3).astype(">f4"), chunks=(2, 3, 3), compression="gzip")
            group.create_dataset("class", data=(rows(4, 6) % 5 - 1).astype(np.int16))
            file.create_dataset("words", data=["a", "b"])


main()
