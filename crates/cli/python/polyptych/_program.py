"""Where the program is, and how it finds the libraries of torch."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

_OWN = Path(__file__).parent / "bin" / "polyptych"


def program() -> str:
    """Path of the program: `POLYPTYCH_PROGRAM`, else that of this package, else that of PATH.

    The console script is none of them, as it asks for the program: it would start itself forever.
    """
    named = os.environ.get("POLYPTYCH_PROGRAM")
    own = str(_OWN) if _OWN.exists() else None
    found = next(filter(None, map(_no_script, (named, own, shutil.which("polyptych")))), None)
    if not found:
        raise FileNotFoundError(
            "polyptych: expected the program in this package or on PATH, found none;"
            " POLYPTYCH_PROGRAM names another"
        )
    return found


def _no_script(path: str | None) -> str | None:
    """`path`, unless it is the console script; the system refuses what is not there."""
    if path is None or not os.path.isfile(path):
        return path
    with open(path, "rb") as file:
        start = file.read(1024)
    return None if start.startswith(b"#!") and b"polyptych._program" in start else path


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
