"""Reads tar shards with webdataset, prints what each sample holds, and writes them anew with it.

    python webdataset_shards.py OUT SHARD...

Lines are JSON: the key of a sample, and the SHA-256 of each of its parts.
`crates/synthetic/tests/made/webdataset.rs` runs it.
"""

import hashlib
import json
import sys

import webdataset


def main(out, *shards):
    with webdataset.ShardWriter(f"{out}/train-%06d.tar", maxcount=3, verbose=0) as writer:
        for sample in webdataset.WebDataset(list(shards), shardshuffle=False):
            parts = {name: part for name, part in sample.items() if not name.startswith("__")}
            digests = {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}
            print(json.dumps({"key": sample["__key__"], "parts": digests}))
            writer.write({"__key__": sample["__key__"], **parts})


if __name__ == "__main__":
    main(*sys.argv[1:])
