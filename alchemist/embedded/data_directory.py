"""The data directory of the embedded PostgreSQL: whose it is, and what lies where in it.

lock                 held by the starter; says its process id and where the socket is
postgres.log         of the last start
postgres/            a gate that no other user passes
    lock             held by every process of the server, until the last one is gone
    cluster/         what initdb made
    unfinished/      what initdb is making
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

# The name of a socket may have 107 bytes, libpq splits hosts at commas, and URLs have wishes of
# their own: a directory of any other shape is reached through a symbolic link.
SAFE_SOCKET_PATH = re.compile(r"[\w/.+@-]{1,90}", re.ASCII)
# Seconds that a former server gets to stop.
FORMER_STOP_TIMEOUT = 10.0


class EmbeddedPostgresError(Exception):
    """One line that says why there is no embedded PostgreSQL, and what to do about it."""


class DataDirectoryInUse(EmbeddedPostgresError):
    """Another process has the data directory; its server's socket is, or will be, in `socket`."""

    def __init__(self, message: str, socket: Path) -> None:
        super().__init__(message)
        self.socket = socket


class DataDirectory:
    """A directory that claim() takes for one process, and release() gives back.

    Locks alone decide: process ids are reused, and files stay behind when a process is killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self.log = self.path / "postgres.log"
        self.gate = self.path / "postgres"
        self.cluster = self.gate / "cluster"
        self.unfinished = self.gate / "unfinished"
        self.lineage = -1
        """A descriptor for every process of the server to inherit."""
        self._socket = self.gate / "socket"
        self.socket = _socket_path(self._socket)
        self._lock = -1

    def claim(self) -> None:
        """Take the directory, and wait for what is left of a former server; raise Unusable."""
        self._take()
        _ensure_private(self.gate)
        if postgres_account():
            # The servant may be the user of other processes too. It alone of them is in root's
            # group, and so it alone passes here.
            os.chown(self.gate, 0, 0)
            self.gate.chmod(0o710)
        if sys.platform != "linux":
            self._end_former()
        self.lineage = _locked(self.gate / "lock", seconds=FORMER_STOP_TIMEOUT)
        if self.lineage < 0:
            raise EmbeddedPostgresError(
                f"A former server on {self.path} is still stopping: try again soon."
            )
        self._clean()

    def release(self) -> None:
        """Give back what was taken. May be called at any time."""
        if self.lineage >= 0 and self.socket != self._socket:
            self.socket.unlink(missing_ok=True)
        for descriptor in {self.lineage, self._lock} - {-1}:
            os.close(descriptor)
        self.lineage = self._lock = -1

    def disown(self) -> None:
        """Let go of the lock in a forked child: it is its parent's, and dies with it."""
        os.close(self._lock)

    def check_disk(self, megabytes: int) -> None:
        free = shutil.disk_usage(self.path).free // 2**20
        if free < megabytes:
            raise EmbeddedPostgresError(
                f"Not enough disk: {self.path} has {free} MB left and needs {megabytes} MB."
            )

    def passable(self, *others: Path) -> bool:
        """Whether the servant gets here, and to other directories, without a capability."""
        return all(map(_is_traversable, (self.gate, self.socket.parent, *others)))

    def _take(self) -> None:
        _ensure_private(self.path)
        lock = self.path / "lock"
        if any(self.path.iterdir()) and not lock.exists():
            raise EmbeddedPostgresError(
                f"{self.path} holds other things: choose a new directory with --data."
            )
        # Patience, because a starter that is killed between fork and exec leaves a child that
        # holds the lock for a moment more.
        self._lock = _locked(lock, seconds=0.5)
        process, socket, *_ = [*lock.read_text().splitlines(), "unknown", ""]
        if self._lock < 0:
            message = f"The data directory {self.path} is in use by process {process}."
            raise DataDirectoryInUse(message, Path(socket))
        _remove_stale_link(Path(socket), self._socket)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n{self.socket}\n".encode(), 0)

    def _end_former(self) -> None:
        """Stop the server of a killed starter, on systems where it is not told of the death."""
        descriptor = _locked(self.gate / "lock", seconds=0)
        if descriptor >= 0:
            os.close(descriptor)
            return
        with suppress(OSError, ValueError):
            pid = int((self.cluster / "postmaster.pid").read_text().split("\n")[0])
            os.kill(pid, signal.SIGINT)

    def _clean(self) -> None:
        # Both locks are ours, so whatever process the files of a killed server name is another.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        for directory in (self.unfinished, self._socket):
            if directory.exists():
                shutil.rmtree(directory)
        make_directory(self._socket)
        if self.socket != self._socket:
            self.socket.symlink_to(self._socket)


def postgres_account() -> pwd.struct_passwd | None:
    """Return the user that root's server runs as, for PostgreSQL refuses root; else None."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError as error:
        raise EmbeddedPostgresError(
            "There is no user `nobody`, and PostgreSQL does not run as root."
        ) from error


def make_directory(directory: Path) -> None:
    """Make a directory for the user that the server runs as."""
    directory.mkdir(0o700)
    if account := postgres_account():
        os.chown(directory, account.pw_uid, -1)


def _ensure_private(directory: Path) -> None:
    """Have a directory of our own; one that exists keeps its permissions."""
    if directory.exists() and not directory.is_dir():
        raise EmbeddedPostgresError(f"{directory} is a file: choose a directory with --data.")
    directory.mkdir(0o710 if postgres_account() else 0o700, parents=True, exist_ok=True)
    if (owner := directory.lstat().st_uid) != os.geteuid():
        raise EmbeddedPostgresError(
            f"{directory} belongs to another user ({owner}): choose a new directory with --data."
        )


def _is_traversable(directory: Path) -> bool:
    found = [place.stat() for place in (directory, *directory.parents)]
    return all(
        place.st_mode & (stat.S_IXGRP if place.st_gid == 0 else stat.S_IXOTH) for place in found
    )


def _locked(path: Path, seconds: float) -> int:
    """Return a descriptor that holds a file's lock, or -1 if others keep it for so long."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    deadline = monotonic() + seconds
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


def _socket_path(socket: Path) -> Path:
    """Return the name that a socket's directory is known by: its own, or of a link to be made."""
    if SAFE_SOCKET_PATH.fullmatch(str(socket)):
        return socket
    name = Path(tempfile.gettempdir(), f"alchemist-{secrets.token_hex(8)}")
    if SAFE_SOCKET_PATH.fullmatch(str(name)):
        return name
    raise EmbeddedPostgresError(
        f"Neither {socket} nor {name} can name a socket: choose a shorter --data."
    )


def _remove_stale_link(name: Path, socket: Path) -> None:
    """Remove the link of a former run, unless the name has come to mean something else."""
    with suppress(OSError):
        if name.readlink() == socket:
            name.unlink()
