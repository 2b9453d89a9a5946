"""The databases of a test run: copies of a migrated template, which later runs use again.

The clusters of the embedded PostgreSQL are cached in numbered slots:

<number>.lock   locked by the run that uses the slot; another run takes the next one
<number>/key    hash of what the cluster was built from; missing while the cluster is in use
<number>/data   the data directory

A run that is killed leaves no key, so the next run builds that cluster again.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from sqlalchemy import URL, NullPool, create_engine, text

from alchemist.config import parse_database_url
from alchemist.database import PROJECT_ROOT, alembic_config
from alchemist.embedded import EmbeddedPostgres, EmbeddedPostgresError

PREFIX = "alchemist_test_"
MAX_SLOTS = 16


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
    if cache:
        # The cache may belong to another user, or all slots may be in use.
        with suppress(OSError, EmbeddedPostgresError):
            return stack.enter_context(_cached_cluster(cache))
    directory = stack.enter_context(TemporaryDirectory(prefix="alchemist-test-"))
    server = stack.enter_context(EmbeddedPostgres(Path(directory) / "data", durable=False)).url
    return server, _create_template(server)


@contextmanager
def separate_database() -> Iterator[URL]:
    """Yield the URL of a migrated database on a server that has no other one."""
    with (
        TemporaryDirectory(prefix="alchemist-test-") as directory,
        EmbeddedPostgres(Path(directory) / "data", durable=False) as server,
    ):
        yield _create_template(server.url)


@contextmanager
def _cached_cluster(cache: Path) -> Iterator[tuple[URL, URL]]:
    key = _hash_sources()
    with _locked_slot(cache) as slot:
        key_file, data = slot / "key", slot / "data"
        is_new = not key_file.exists() or key_file.read_text() != key
        key_file.unlink(missing_ok=True)
        if is_new:
            shutil.rmtree(data, ignore_errors=True)
        with EmbeddedPostgres(data, durable=False) as postgres:
            template = _create_template(postgres.url) if is_new else _template_url(postgres.url)
            yield postgres.url, template
            is_clean = _count_databases(postgres.url) == 1
        if is_clean:
            key_file.write_text(key)


@contextmanager
def _locked_slot(cache: Path) -> Iterator[Path]:
    """Yield the directory of the first slot that no other run uses; raise OSError."""
    for number in range(MAX_SLOTS):
        with (cache / f"{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            slot = cache / str(number)
            slot.mkdir(exist_ok=True)
            yield slot
            return
    raise BlockingIOError


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
    suffix = f' TEMPLATE "{template.database}"' if template else f" {options}"
    _administer(server, f'CREATE DATABASE "{url.database}"{suffix}')
    try:
        yield url
    finally:
        _administer(server, f'DROP DATABASE IF EXISTS "{url.database}" WITH (FORCE)')


def _administer(server: URL, statement: str) -> None:
    engine = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))


def _count_databases(server: URL) -> int:
    """Return the number of test databases, the template included."""
    statement = text("SELECT count(*) FROM pg_database WHERE starts_with(datname, :prefix)")
    with create_engine(server, poolclass=NullPool).connect() as connection:
        return connection.execute(statement, {"prefix": PREFIX}).scalar_one()
