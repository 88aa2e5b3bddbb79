"""HDF5 files by h5py: rows of samples as MATLAB's v7.3 has NYUD-v2, and arrays of one frame."""

import zlib

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
    with h5py.File("grey.h5", "w") as file:
        # Grey photographs, and masks as h5py writes truth values: an enumeration.
        file.create_dataset("images", data=(rows(3, 4, 6) * 3).astype(np.uint8))
        file.create_dataset("mask", data=rows(3, 4, 6) % 3 == 0)
        file.create_dataset("metres", data=rows(3, 4, 6).astype(np.float32))
    with h5py.File("channels-first.h5", "w") as file:
        file.create_dataset("images", data=rows(2, 3, 4, 6).astype(np.uint8))
    bombs()


def bombs():
    """Files of a few KiB that claim more than memory holds."""
    with h5py.File("rows.h5", "w") as file:
        file.create_dataset("images", (10**9, 2, 2, 3), np.uint8, chunks=(1, 2, 2, 3))
    with h5py.File("bomb.h5", "w") as file:
        file.create_dataset("numbers", (1, 20_000, 20_000), np.uint8, chunks=(1, 256, 256))
        # A piece of 400 million bytes, of an array of 64 bytes.
        shape = dict(shape=(1, 8, 8), maxshape=(None, None, None), chunks=(1, 20_000, 20_000))
        piece = file.create_dataset("piece", dtype=np.uint8, compression="gzip", **shape)
        piece.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(1000)))
    with h5py.File("wide.h5", "w") as file:
        file.create_dataset("images", (1, 2**40, 2**30), np.uint8, chunks=(1, 64, 64))


main()
