"""The loop that every peer runs: the other side of `cargo xtask bench --peers`.

A peer is started as `python3 PEER.py FOLDER --key value ...`. It prepares itself, says so in one
line of JSON, and then answers each line of its input with one line: `run` times one round,
`check` writes `FOLDER/peer.safetensors`, which is compared with what ours wrote.
"""

import argparse
import json
import resource
import sys
import time

import torch


def synchronize(device):
    """Waits until the device has done all that it was asked to do."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def arguments(**defaults):
    """The folder that both sides share, and options with the types of their defaults."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    found = parser.parse_args()
    # As ours: float32 is computed in float32.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_num_threads(found.threads)
    torch.manual_seed(0)
    return found


def say(**message):
    print(json.dumps(message), flush=True)


def serve(run, check, items, versions, device="cpu"):
    """Answers until the input ends. `run()` is one round on `device`, `check()` gives named
    tensors."""
    from safetensors.torch import save_file

    folder = sys.argv[1]
    say(ready=True, versions=versions)
    for line in sys.stdin:
        if line.strip() == "run":
            wall, core = time.perf_counter(), time.process_time()
            run()
            synchronize(device)
            seconds, core_seconds = time.perf_counter() - wall, time.process_time() - core
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            peak = peak if device == "cpu" else torch.cuda.max_memory_allocated(device)
            say(seconds=seconds, core_seconds=core_seconds, items=items, peak_bytes=peak)
        elif line.strip() == "check":
            tensors = {name: t.detach().float().cpu().contiguous() for name, t in check().items()}
            save_file(tensors, f"{folder}/peer.safetensors")
            say(checked=True)
        else:
            sys.exit(f"expected `run` or `check`, found {line!r}")
