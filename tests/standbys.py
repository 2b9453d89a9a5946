"""A primary and its standbys, as child processes that end with the test."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import alembic.command
from sqlalchemy import NullPool, create_engine, text

from alchemist.database import alembic_config
from alchemist.embedded import EmbeddedPostgres
from alchemist.embedded.data_directory import make_server_directory
from tests.servers import TIMEOUT

# Options of the command line overrule ALTER SYSTEM, by which tests change this one.
CHANGED_BY_TESTS = "synchronous_commit"
STREAMING = {
    "wal_level": "replica",
    "max_wal_senders": "10",
    "shared_preload_libraries": "pg_stat_statements",
}


class Primary(EmbeddedPostgres):
    """A migrated PostgreSQL that sends its log to standbys."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, durable=False)
        self._settings = {
            name: value
            for name, value in (self._settings | STREAMING).items()
            if name != CHANGED_BY_TESTS
        }

    def start(self, *args: Any) -> Any:
        process = super().start(*args)
        alembic.command.upgrade(alembic_config(self.url), "head")
        return process

    def execute(self, *statements: str) -> list[Any]:
        """Run statements in autocommit, and return the rows of the last one."""
        engine = create_engine(self.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        rows: list[Any] = []
        with engine.connect() as connection:
            for statement in statements:
                result = connection.execute(text(statement))
                rows = list(result) if result.returns_rows else []
        return rows

    def configure(self, **settings: str) -> None:
        """Change settings of the running server."""
        statements = [f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items()]
        self.execute(*statements, "SELECT pg_reload_conf()")


class Standby(Primary):
    """A copy of a primary, which follows it under a name."""

    def __init__(self, path: Path, primary: EmbeddedPostgres, name: str) -> None:
        super().__init__(path)
        directory = primary.directory.socket_dir
        self._source = ["-h", str(directory), "-p", "5432", "-U", "alchemist"]
        self._settings["primary_conninfo"] = (
            f"host={directory} port=5432 user=alchemist application_name={name}"
        )

    def start(self, *args: Any) -> Any:
        return EmbeddedPostgres.start(self, *args)

    def _initdb(self) -> None:
        make_server_directory(self.directory.staging)
        options = [*self._source, "--checkpoint=fast", "--no-sync"]
        self.process = self._spawn_program(
            "pg_basebackup", self.directory.staging, options, death_signal=signal.SIGKILL
        )
        if self.process.wait():
            raise self._error_from_log()
        self.process = None
        (self.directory.staging / "standby.signal").touch()
        self.directory.staging.rename(self.directory.cluster)


def processes_of(postgres: EmbeddedPostgres) -> list[int]:
    assert postgres.process is not None
    pid = postgres.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    """Stop every process of the server, as a disk that hangs does."""
    # The main process first: it starts no others then.
    os.kill(processes_of(postgres)[0], signal.SIGSTOP)
    pids = processes_of(postgres)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def kill(postgres: EmbeddedPostgres) -> None:
    """End every process of the server at once, as a power failure does."""
    pids = processes_of(postgres)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert postgres.process is not None
    postgres.process.wait()
    wait_until(lambda: not any(map(is_running, pids)))
    postgres.stop()


def is_running(pid: int) -> bool:
    """Return whether a process exists that is no zombie."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def wait_until(is_so: Callable[[], Any], seconds: float = TIMEOUT) -> None:
    deadline = monotonic() + seconds
    while not is_so():
        assert monotonic() < deadline
        sleep(0.02)


def urls(postgres: Sequence[EmbeddedPostgres]) -> str:
    """Return one URL with the hosts of all of these servers."""
    hosts = [f"host={each.directory.socket_dir}" for each in postgres]
    return f"postgresql://alchemist@/alchemist?{'&'.join([*hosts, 'port=5432'])}"
