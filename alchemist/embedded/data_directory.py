"""The data directory of the embedded PostgreSQL: its owner, its locks and its files.

lock                 locked by the process that starts the server; has its pid and socket_dir
postgres.log         of the last start
postgres/            private_dir: no other user can enter it
    lock             locked by every process of the server, until the last one has ended
    cluster/         the cluster, complete
    staging/         the cluster while initdb creates it
    socket/
"""

import fcntl
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

# The path of a socket may have 107 bytes, libpq splits hosts at commas, and URLs quote characters.
# A directory with any other path is reached through a symbolic link.
SAFE_SOCKET_PATH = re.compile(r"[\w/.+@-]{1,90}", re.ASCII)
# Seconds for the server of a killed process to stop.
FORMER_STOP_TIMEOUT = 10.0


class EmbeddedPostgresError(Exception):
    """One line: why the embedded PostgreSQL does not run, and what to do about it."""


class DataDirectoryInUse(EmbeddedPostgresError):
    """Another process uses the data directory; the socket of its server is in `socket_dir`."""

    def __init__(self, message: str, socket_dir: Path) -> None:
        super().__init__(message)
        self.socket_dir = socket_dir


class DataDirectory:
    """A directory that one process at a time claims and releases.

    Only locks decide who that is: pids are reused, and the files of a killed process remain.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self.log = self.path / "postgres.log"
        self.private_dir = self.path / "postgres"
        self.cluster = self.private_dir / "cluster"
        self.staging = self.private_dir / "staging"
        self.server_lock_fd = -1
        """The descriptor that every process of the server inherits."""
        self._real_socket_dir = self.private_dir / "socket"
        self.socket_dir = _safe_socket_dir(self._real_socket_dir)
        self._lock_fd = -1

    def has_cluster(self) -> bool:
        return os.path.isdir(self.cluster)

    def claim(self) -> None:
        """Lock the directory, and wait until the former server has ended.

        Raise EmbeddedPostgresError, DataDirectoryInUse or OSError.
        """
        self._acquire_lock()
        _ensure_private_directory(self.private_dir)
        if postgres_account():
            # Other processes may run as the same account. Only the server has root's group, so
            # only the server can enter.
            os.chown(self.private_dir, 0, 0)
            self.private_dir.chmod(0o710)
        if sys.platform != "linux":
            self._stop_former_server()
        self.server_lock_fd = _open_and_lock(self.private_dir / "lock", timeout=FORMER_STOP_TIMEOUT)
        if self.server_lock_fd < 0:
            raise EmbeddedPostgresError(
                f"A former server on {self.path} is still stopping: try again soon."
            )
        self._remove_former_files_and_make_socket_dir()

    def release(self) -> None:
        """Unlock the directory. Can be called at any time, and twice."""
        if self.server_lock_fd >= 0 and self.socket_dir != self._real_socket_dir:
            self.socket_dir.unlink(missing_ok=True)
        for descriptor in {self.server_lock_fd, self._lock_fd} - {-1}:
            os.close(descriptor)
        self.server_lock_fd = self._lock_fd = -1

    def check_free_space(self, megabytes: int) -> None:
        free = shutil.disk_usage(self.path).free // 2**20
        if free < megabytes:
            raise EmbeddedPostgresError(
                f"Not enough disk: {self.path} has {free} MB left and needs {megabytes} MB."
            )

    def is_reachable_by_server(self, *directories: Path) -> bool:
        """Return whether the server's user reaches this and other directories unprivileged."""
        return all(
            map(_is_traversable_by_group, (self.private_dir, self.socket_dir.parent, *directories))
        )

    def _acquire_lock(self) -> None:
        _ensure_private_directory(self.path)
        lock = self.path / "lock"
        if any(self.path.iterdir()) and not lock.exists():
            raise EmbeddedPostgresError(
                f"{self.path} contains other files: choose a new directory with --data."
            )
        # With a timeout: a process that is killed between fork and exec leaves a child that has the
        # lock for a moment.
        self._lock_fd = _open_and_lock(lock, timeout=0.5)
        pid, socket_dir, *_ = [*lock.read_text().splitlines(), "unknown", ""]
        if self._lock_fd < 0:
            message = f"The data directory {self.path} is in use by process {pid}."
            raise DataDirectoryInUse(message, Path(socket_dir))
        _remove_stale_link(Path(socket_dir), self._real_socket_dir)
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, f"{os.getpid()}\n{self.socket_dir}\n".encode(), 0)

    def _stop_former_server(self) -> None:
        """Stop the server of a killed process, on systems without a parent-death signal."""
        descriptor = _open_and_lock(self.private_dir / "lock", timeout=0)
        if descriptor >= 0:
            os.close(descriptor)
            return
        with suppress(OSError, ValueError):
            pid = int((self.cluster / "postmaster.pid").read_text().split("\n")[0])
            os.kill(pid, signal.SIGINT)

    def _remove_former_files_and_make_socket_dir(self) -> None:
        # This process has both locks, so a pid in these files is that of an unrelated process.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        for directory in (self.staging, self._real_socket_dir):
            if directory.exists():
                shutil.rmtree(directory)
        make_server_directory(self._real_socket_dir)
        if self.socket_dir != self._real_socket_dir:
            self.socket_dir.symlink_to(self._real_socket_dir)


def postgres_account() -> pwd.struct_passwd | None:
    """Return the user that PostgreSQL runs as if this process is root's, else None.

    PostgreSQL does not run as root. Raise EmbeddedPostgresError if there is no such user.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError as error:
        raise EmbeddedPostgresError(
            "There is no user `nobody`, and PostgreSQL does not run as root."
        ) from error


def make_server_directory(directory: Path) -> None:
    """Make a directory that belongs to the user that PostgreSQL runs as."""
    directory.mkdir(0o700)
    if account := postgres_account():
        os.chown(directory, account.pw_uid, -1)


def _ensure_private_directory(directory: Path) -> None:
    """Make a private directory; one that exists and is this user's keeps its permissions."""
    if directory.exists() and not directory.is_dir():
        raise EmbeddedPostgresError(f"{directory} is a file: choose a directory with --data.")
    directory.mkdir(0o710 if postgres_account() else 0o700, parents=True, exist_ok=True)
    if (owner := directory.lstat().st_uid) != os.geteuid():
        raise EmbeddedPostgresError(
            f"{directory} belongs to another user ({owner}): choose a new directory with --data."
        )


def _is_traversable_by_group(directory: Path) -> bool:
    """Return whether a process with root's group, and no other right, can enter a directory."""
    statuses = [path.stat() for path in (directory, *directory.parents)]
    return all(
        status.st_mode & (stat.S_IXGRP if status.st_gid == 0 else stat.S_IXOTH)
        for status in statuses
    )


def _open_and_lock(path: Path, timeout: float) -> int:
    """Return a descriptor with an exclusive lock, or -1 if it is locked until the timeout."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    deadline = monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() >= deadline:
                os.close(descriptor)
                return -1
            sleep(0.02)
        else:
            return descriptor


def _safe_socket_dir(directory: Path) -> Path:
    """Return the directory if its path is safe for a socket, else the path of a link to make."""
    if SAFE_SOCKET_PATH.fullmatch(str(directory)):
        return directory
    link = Path(tempfile.gettempdir(), f"alchemist-{secrets.token_hex(8)}")
    if SAFE_SOCKET_PATH.fullmatch(str(link)):
        return link
    raise EmbeddedPostgresError(
        f"Neither {directory} nor {link} can name a socket: choose a shorter --data."
    )


def _remove_stale_link(link: Path, target: Path) -> None:
    """Remove the link of a former run, unless its path is used for something else by now."""
    with suppress(OSError):
        if link.readlink() == target:
            link.unlink()
