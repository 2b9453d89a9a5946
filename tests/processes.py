"""What other processes need to start, and which of them have to do with a directory."""

import os
import sys
from pathlib import Path
from time import monotonic, sleep

from alchemist.database import PROJECT_ROOT

PATIENCE = 10  # seconds


def environment() -> dict[str, str]:
    """Return one in which a Python finds Alchemist, and says what it says at once.

    PWD, as a shell sets it, tells where a process was started, also after it changes directory.
    """
    packages = [place for place in sys.path if place.endswith("-packages")]
    path = os.pathsep.join([str(PROJECT_ROOT), *packages])
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PWD": os.getcwd()}


def of(directory: Path) -> list[int]:
    """Return the ids of the other processes that work in a directory or were started for it."""
    found = [entry for entry in Path("/proc").glob("[0-9]*") if _concerns(entry, directory)]
    return [int(entry.name) for entry in found if entry.name != str(os.getpid())]


def _concerns(process: Path, directory: Path) -> bool:
    try:
        if (process / "cwd").readlink().is_relative_to(directory):
            return True
        words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    except OSError:
        return False
    return str(directory).encode() in words


def await_none(directory: Path) -> None:
    """Return when no such process is left; fail if one stays."""
    deadline = monotonic() + PATIENCE
    while left := of(directory):
        assert monotonic() < deadline, left
        sleep(0.02)
