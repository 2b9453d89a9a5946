"""The directory in which the workers of one gunicorn write their metrics, a file for each kind.

prometheus_client finds it in PROMETHEUS_MULTIPROC_DIR, which must be set before it is imported.
"""

import fcntl
import logging
import os
import shutil
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from threading import Lock
from time import time

logger = logging.getLogger(__name__)

PREFIX = "alchemist-metrics-"
# Seconds that a gunicorn has to lock the directory that it has made.
LOCK_TIME = 60
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# A scrape must read the files of all workers as they are at one moment.
lock = Lock()


def create_and_remove_abandoned(parent: str | None) -> None:
    """Make the directory of this gunicorn, and remove those of others that were killed.

    `parent` should be in memory, as `/dev/shm` is: the system writes other files to a disk. The
    lock lasts until the last of this process and its workers has ended.
    """
    base = Path(parent or gettempdir())
    for abandoned in filter(_is_abandoned, base.glob(f"{PREFIX}*")):
        shutil.rmtree(abandoned, ignore_errors=True)
    path = mkdtemp(prefix=PREFIX, dir=base)
    fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.environ[VARIABLE] = path


def _is_abandoned(path: Path) -> bool:
    """Return whether no process has locked a directory of this user."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        status = os.fstat(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return status.st_uid == os.getuid() and status.st_mtime < time() - LOCK_TIME
    finally:
        os.close(descriptor)


def remove() -> None:
    """Remove the directory of this gunicorn."""
    shutil.rmtree(os.environ[VARIABLE], ignore_errors=True)


def merge_ended_worker(pid: int) -> None:
    """Remove the files of a worker that has ended; its counters are added to those of its kind.

    Without them the totals would go down, and with the files of every worker there would be more
    and more. No error of a file, which may be half-written, may end gunicorn's master.
    """
    with lock:
        for file in Path(os.environ[VARIABLE]).glob(f"*_{pid}.db"):
            try:
                if not file.name.startswith("gauge_"):
                    _add_counters_to_ended(file)
            except Exception:
                logger.exception("The metrics of an ended worker are lost.")
            finally:
                file.unlink(missing_ok=True)


def _add_counters_to_ended(file: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415  see the module

    kind, _, _ = file.name.partition("_")
    ended = MmapedDict(str(file.with_name(f"{kind}_ended.db")))
    try:
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(file)):
            ended.write_value(key, ended.read_value(key)[0] + value, 0.0)
    finally:
        ended.close()
