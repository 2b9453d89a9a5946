"""The databases of a test run: copies of a migrated template.

The cluster with the template is built once, and each run starts a copy of it. The cache has the
clusters by a hash of what they were built from.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from sqlalchemy import URL, Connection, NullPool, create_engine, text

from alchemist.config import parse_database_url
from alchemist.database import PROJECT_ROOT, alembic_config
from alchemist.embedded import EmbeddedPostgres, EmbeddedPostgresError

PREFIX = "alchemist_test_"


def start(stack: ExitStack, cache: Path | None) -> tuple[URL, URL]:
    """Return the URLs of a server and of the migrated template on it, until the stack closes.

    The server is the one that ALCHEMIST_TEST_DATABASE_URL names, else an embedded one. The template
    may be the database ALCHEMIST_TEST_TEMPLATE on it, which other code has migrated.
    """
    if url := os.environ.get("ALCHEMIST_TEST_DATABASE_URL"):
        server = parse_database_url(url)
        if name := os.environ.get("ALCHEMIST_TEST_TEMPLATE"):
            return server.set(database="postgres"), server.set(database=name)
        template = stack.enter_context(temporary_database(server))
        _migrate(template)
        return server, template
    directory = stack.enter_context(TemporaryDirectory(prefix="alchemist-test-"))
    data = Path(directory) / "data"
    is_built = cache is not None and _copy_cached_cluster(cache, data)
    server = stack.enter_context(EmbeddedPostgres(data, durable=False)).url
    return server, _template_url(server) if is_built else _create_template(server)


@contextmanager
def separate_database() -> Iterator[URL]:
    """Yield the URL of a migrated database on a server that has no other one."""
    with (
        TemporaryDirectory(prefix="alchemist-test-") as directory,
        EmbeddedPostgres(Path(directory) / "data", durable=False) as server,
    ):
        yield _create_template(server.url)


def _copy_cached_cluster(cache: Path, data: Path) -> bool:
    """Copy the cluster of the cache, which is built if it is missing; return False if that fails.

    The cache may belong to another user.
    """
    cluster = cache / _hash_sources()
    try:
        if not cluster.exists():
            _build_cluster(cluster)
        # Its files belong to another user, if this one is root.
        subprocess.run(["cp", "-a", cluster, data], check=True)
    except (OSError, subprocess.CalledProcessError, EmbeddedPostgresError):
        shutil.rmtree(data, ignore_errors=True)
        return False
    return True


def _build_cluster(cluster: Path) -> None:
    """Build a cluster in place of former ones; a run at the same time may build it, too."""
    with TemporaryDirectory(prefix="staging-", dir=cluster.parent) as staging:
        data = Path(staging) / "data"
        with EmbeddedPostgres(data, durable=False) as postgres:
            _create_template(postgres.url)
        for former in set(cluster.parent.iterdir()) - set(cluster.parent.glob("staging-*")):
            shutil.rmtree(former, ignore_errors=True)
        data.rename(cluster)


def _hash_sources() -> str:
    """Return a hash of the migrations and of the code that sets the server up."""
    files = [
        file
        for directory in ("migrations", "alchemist/embedded")
        for file in sorted((PROJECT_ROOT / directory).rglob("*.py"))
    ]
    return sha256(b"\n".join(file.read_bytes() for file in [*files, Path(__file__)])).hexdigest()


def _template_url(server: URL) -> URL:
    return server.set(database=f"{PREFIX}template")


def _create_template(server: URL) -> URL:
    template = _template_url(server)
    _administer(server, f"CREATE DATABASE {template.database}")
    _migrate(template)
    return template


def _migrate(url: URL) -> None:
    # Few runs need this, and it takes long to import.
    import alembic.command  # noqa: PLC0415

    alembic.command.upgrade(alembic_config(url), "head")


@contextmanager
def temporary_database(
    server: URL, template: URL | None = None, options: str = ""
) -> Iterator[URL]:
    """Yield the URL of a copy of the template, or of an empty database; drop it at the end.

    `options` are those of CREATE DATABASE.
    """
    url = server.set(database=f"{PREFIX}{uuid4().hex}")
    _administer(
        server, f'CREATE DATABASE "{url.database}" {_copy_options(server, template)} {options}'
    )
    try:
        yield url
    finally:
        _administer(server, f'DROP DATABASE IF EXISTS "{url.database}" WITH (FORCE)')


@cache
def _copy_options(server: URL, template: URL | None) -> str:
    """Return the options of CREATE DATABASE that copy the template, or PostgreSQL's own.

    Copying files, as before PostgreSQL 15, costs a third of copying through the WAL.
    """
    source = f'TEMPLATE "{template.database}"' if template else ""
    with _connect(server) as connection:
        is_option = (connection.dialect.server_version_info or ()) >= (15,)
    return f"{source} STRATEGY file_copy" if is_option else source


def _administer(server: URL, statement: str) -> None:
    with _connect(server) as connection:
        connection.execute(text(statement))


def _connect(server: URL) -> Connection:
    return create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect()
