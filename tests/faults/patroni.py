"""Two PostgreSQL with synchronous replication, which Patroni and etcd keep available."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shutil import chown, which
from time import monotonic, sleep
from typing import Any, Self
from urllib.request import urlopen

import psycopg
from sqlalchemy import URL

from alchemist.config import parse_database_url
from alchemist.embedded import spawn
from alchemist.embedded.data_directory import postgres_account
from tests.servers import free_port

START_TIMEOUT = 90  # seconds
DATABASE = "alchemist"


def programs_of_postgres() -> Path:
    """Return the directory of the programs of Debian's newest PostgreSQL."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def _spawn(command: Sequence[str | Path], log: Path) -> subprocess.Popen[bytes]:
    account = postgres_account()
    with log.open("ab") as output:
        return spawn.spawn(
            command,
            signal.SIGTERM,
            user=account.pw_name if account else "",
            enter_any_directory=bool(account),
            stdout=output,
            stderr=output,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "HOME": "/tmp"},
        )


def children_of(pid: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []


def send_signal(pids: Sequence[int], signum: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


class Member:
    """A PostgreSQL and its Patroni."""

    def __init__(self, name: str, patroni: Path, directory: Path, etcd_port: int) -> None:
        self.name, self.patroni = name, patroni
        self.port, self.api_port = free_port(), free_port()
        self.data = directory / name
        self.log = directory / f"{name}.log"
        self.configuration = directory / f"{name}.yml"
        # JSON is YAML.
        self.configuration.write_text(json.dumps(self._settings(etcd_port)))
        self.process: subprocess.Popen[bytes] | None = None

    def _settings(self, etcd_port: int) -> dict[str, Any]:
        local = ["local all all trust", "host all all 127.0.0.1/32 trust"]
        local += ["host replication all 127.0.0.1/32 trust"]
        api = f"127.0.0.1:{self.api_port}"
        address = f"127.0.0.1:{self.port}"
        return {
            "scope": "alchemist",
            "name": self.name,
            "restapi": {"listen": api, "connect_address": api},
            "etcd3": {"host": f"127.0.0.1:{etcd_port}"},
            "bootstrap": {
                "dcs": {
                    # The shortest that Patroni accepts.
                    **{"ttl": 20, "loop_wait": 1, "retry_timeout": 3},
                    "primary_start_timeout": 20,
                    "synchronous_mode": True,
                    "postgresql": {
                        "use_pg_rewind": True,
                        "parameters": {"max_connections": 100, "fsync": "off"},
                    },
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}],
                "pg_hba": local,
            },
            "postgresql": {
                "listen": address,
                "connect_address": address,
                "data_dir": str(self.data),
                "bin_dir": str(programs_of_postgres()),
                "pg_hba": local,
                "authentication": {
                    "superuser": {"username": "alchemist"},
                    "replication": {"username": "replicator"},
                },
                "parameters": {"unix_socket_directories": ""},
            },
        }

    def start(self) -> None:
        self.process = _spawn([self.patroni, self.configuration], self.log)

    def postgres(self) -> list[int]:
        """Return the ids of the processes of PostgreSQL, the main one first."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError):
            return []
        return [pid, *children_of(pid)] if Path(f"/proc/{pid}").exists() else []

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to Patroni and to PostgreSQL; the main processes start no others then."""
        if self.process is not None:
            send_signal([self.process.pid], signum)
        for _ in range(2):
            send_signal(self.postgres(), signum)
            sleep(0.05)

    def kill(self) -> None:
        """End all of its processes at once, as a power failure does."""
        self.send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def api(self) -> dict[str, Any]:
        """Return what Patroni reports of PostgreSQL, or {} if it does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.api_port}/patroni", timeout=2) as response:
                return dict(json.load(response))
        except OSError as error:
            # With the status 503 it has a body, too.
            read = getattr(error, "read", None)
            return dict(json.loads(read() or b"{}")) if read else {}

    def execute(self, statement: str) -> list[Any]:
        """Run a statement; return its rows, or [] if PostgreSQL does not answer."""
        try:
            with psycopg.connect(
                host="127.0.0.1",
                port=self.port,
                user="alchemist",
                dbname="postgres",
                connect_timeout=2,
                autocommit=True,
            ) as connection:
                cursor = connection.execute(statement)
                return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            return []

    def is_primary(self) -> bool:
        state = self.api()
        return state.get("role") in ("primary", "master") and state.get("state") == "running"


class Cluster:
    """Two members, and the etcd that knows which of them is the primary."""

    def __init__(self, patroni: Path, directory: Path) -> None:
        account = postgres_account()
        if account:
            chown(directory, account.pw_uid)
        self.etcd_log = directory / "etcd.log"
        client, peer = free_port(), free_port()
        etcd = which("etcd")
        assert etcd, "Install Debian's etcd-server."
        url = f"http://127.0.0.1:{peer}"
        self.etcd_command = [
            *(etcd, "--data-dir", str(directory / "etcd"), "--unsafe-no-fsync"),
            *("--listen-client-urls", f"http://127.0.0.1:{client}"),
            *("--advertise-client-urls", f"http://127.0.0.1:{client}"),
            *("--listen-peer-urls", url, "--initial-advertise-peer-urls", url),
            *("--initial-cluster", f"default={url}"),
        ]
        self.members = [Member(name, patroni, directory, client) for name in ("one", "two")]

    @property
    def url(self) -> URL:
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return parse_database_url(
            f"postgresql://alchemist@{hosts}/{DATABASE}?target_session_attrs=read-write"
        )

    def __enter__(self) -> Self:
        self.etcd = _spawn(self.etcd_command, self.etcd_log)
        try:
            for member in self.members:
                member.start()
                self.wait_until(member.api, "Patroni does not answer")
            self.wait_until_complete()
            self.primary.execute(f"CREATE DATABASE {DATABASE}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.send(signal.SIGCONT)
            member.kill()
        self.etcd.kill()
        self.etcd.wait()

    @property
    def primary(self) -> Member:
        return next(member for member in self.members if member.is_primary())

    @property
    def standby(self) -> Member:
        return next(member for member in self.members if not member.is_primary())

    def is_complete(self) -> bool:
        """Return whether there is a primary with a synchronous standby."""
        primaries = [member for member in self.members if member.is_primary()]
        if len(primaries) != 1:
            return False
        states = primaries[0].execute("SELECT sync_state FROM pg_stat_replication")
        return states == [("sync",)]

    def wait_until_complete(self) -> None:
        self.wait_until(self.is_complete, "there is no primary with a synchronous standby")

    def wait_until(self, is_so: Any, problem: str) -> None:
        deadline = monotonic() + START_TIMEOUT
        while not is_so():
            if monotonic() > deadline:
                raise TimeoutError(problem)
            sleep(0.2)
