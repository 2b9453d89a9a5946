"""A real PgBouncer in transaction mode, in front of the PostgreSQL of a test."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from alchemist.embedded import spawn
from alchemist.embedded.data_directory import postgres_account
from tests.servers import TIMEOUT, free_port

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
VERSION = subprocess.check_output([PROGRAM, "--version"], text=True) if PROGRAM else "0.0"
TRACKS_PREPARED_STATEMENTS = [int(number) for number in re.findall(r"\d+", VERSION)[:2]] >= [1, 21]
# Whether the whole run goes through PgBouncer, and the settings of the service that it needs.
IS_USED = "ALCHEMIST_TEST_PGBOUNCER" in os.environ
SETTINGS: dict[str, Any] = (
    {"limits": "role", "prepared_statements": TRACKS_PREPARED_STATEMENTS} if IS_USED else {}
)
needs_pgbouncer = pytest.mark.skipif(not PROGRAM, reason="needs Debian's pgbouncer")

CONF = """
[databases]
* = host={host} port={server_port} {password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
admin_users = {user}
pool_mode = transaction
default_pool_size = 20
max_client_conn = 200
server_login_retry = 1
"""


@contextmanager
def pooled(
    server: URL, directory: Path, program: str | None = None, **options: str
) -> Iterator[URL]:
    """Yield the URL of the same database behind a PgBouncer, which runs during the block.

    `options` are further settings of PgBouncer; the database role needs no password, or has the
    one of the URL.
    """
    port, users, conf = free_port(), directory / "users.txt", directory / "pgbouncer.ini"
    users.write_text("".join(f'"{name}" ""\n' for name in (server.username,)))
    text = CONF.format(
        host=server.query.get("host", server.host),
        server_port=server.query.get("port", server.port or 5432),
        password=f"password={server.password}" if server.password else "",
        port=port,
        users=users,
        user=server.username,
    )
    conf.write_text(text + "".join(f"{name} = {value}\n" for name, value in options.items()))
    account = postgres_account()
    with (directory / "pgbouncer.log").open("wb") as log:
        process = spawn.spawn(
            [program or PROGRAM or "", conf],
            signal.SIGKILL,
            user=account.pw_name if account else "",
            enter_any_directory=bool(account),
            stdout=log,
            stderr=log,
        )
    url = server.set(host="127.0.0.1", port=port, query={}, password=None)
    try:
        _await_ready(url)
        yield url
    finally:
        process.kill()
        process.wait()


def _await_ready(url: URL) -> None:
    deadline = monotonic() + TIMEOUT
    while True:
        try:
            administer(url, "SHOW VERSION")
        except psycopg.OperationalError:
            assert monotonic() < deadline
            sleep(0.02)
        else:
            return


def administer(url: URL, command: str) -> list[Any]:
    """Run a command of PgBouncer's console, as `RECONNECT`, and return its rows."""
    conninfo = url.set(drivername="postgresql", database="pgbouncer").render_as_string()
    # Only such cursors use the simple protocol, and the console knows no other.
    with psycopg.connect(
        conninfo, autocommit=True, cursor_factory=psycopg.ClientCursor
    ) as connection:
        cursor = connection.execute(command)
        return cursor.fetchall() if cursor.description else []
