"""Where the program is, and how it finds the libraries of torch."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

_OWN = Path(__file__).parent / "bin" / "polyptych"


def program() -> str:
    """Path of the program: `POLYPTYCH_PROGRAM`, else that of this package, else that of PATH."""
    named = os.environ.get("POLYPTYCH_PROGRAM")
    found = named or (str(_OWN) if _OWN.exists() else shutil.which("polyptych"))
    if not found:
        raise FileNotFoundError(
            "polyptych: expected the program in this package or on PATH, found none;"
            " POLYPTYCH_PROGRAM names another"
        )
    return found


def environment() -> dict[str, str]:
    """The environment for the program: where torch is not beside it, the path to its libraries."""
    beside = _OWN.parent.parent.parent / "torch" / "lib"
    spec = None if beside.is_dir() else importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return dict(os.environ)
    folders = [str(Path(spec.origin).parent / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, folders))}


def main() -> None:
    """Becomes the program, so that signals and exit codes are its own."""
    path = program()
    os.execve(path, [path, *sys.argv[1:]], environment())
