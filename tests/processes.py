"""Environment of the processes that tests start, and a search for those that are left."""

import os
import sys
from pathlib import Path
from time import monotonic, sleep

from alchemist.database import PROJECT_ROOT
from tests.servers import TIMEOUT


def environment() -> dict[str, str]:
    """Return an environment in which Python finds Alchemist, and does not buffer its output.

    PWD, which a shell sets too, is the directory in which a process was started: find() uses it.
    """
    packages = [path for path in sys.path if path.endswith("-packages")]
    path = os.pathsep.join([str(PROJECT_ROOT), *packages])
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PWD": os.getcwd()}


def find(directory: Path) -> list[int]:
    """Return the ids of the other processes that were started in a directory, or mention it."""
    matches = [entry for entry in Path("/proc").glob("[0-9]*") if _uses(entry, directory)]
    return [int(entry.name) for entry in matches if entry.name != str(os.getpid())]


def _uses(process: Path, directory: Path) -> bool:
    try:
        if (process / "cwd").readlink().is_relative_to(directory):
            return True
        text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    except OSError:
        return False
    return str(directory).encode() in text


def wait_until_ended(directory: Path) -> None:
    """Return when find() finds no process; fail if one does not end."""
    deadline = monotonic() + TIMEOUT
    while pids := find(directory):
        assert monotonic() < deadline, pids
        sleep(0.02)
