"""A gunicorn on a separate database with the sample data."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import alembic.command
from sqlalchemy import URL, NullPool, create_engine, text

from alchemist import database as db
from alchemist import embedded
from alchemist.cli import sample_data
from alchemist.config import parse_database_url
from tests.servers import Gunicorn, ProductionGunicorn

NAME = "alchemist_hostile"
SETTINGS = {
    "ALCHEMIST_OPEN_ACCESS": "false",
    "ALCHEMIST_CORS_ORIGINS": "https://shop.example",
    "ALCHEMIST_LOG_LEVEL": "warning",
    # All requests are those of one user, and what is refused for their number is not tried.
    "ALCHEMIST_MAX_OPEN_ORDERS": "0",
    "ALCHEMIST_LIMIT_REQUESTS": "0",
    "ALCHEMIST_LIMIT_COSTLY_REQUESTS": "0",
    "ALCHEMIST_LIMIT_FAILED_AUTHENTICATIONS": "0",
    "ALCHEMIST_LIMIT_COUPON_MISSES": "0",
}


@contextmanager
def opened() -> Iterator[tuple[Gunicorn, str]]:
    """Yield the server, which requires authentication, and an admin's token."""
    with TemporaryDirectory(prefix="alchemist-hostile-") as directory, _database(directory) as url:
        alembic.command.upgrade(db.alembic_config(url), "head")
        with ProductionGunicorn(url, Path(directory), **SETTINGS) as server:
            insert_sample_data(server)
            yield server, _admin_token(server)


def insert_sample_data(server: Gunicorn) -> None:
    """Insert the rows of the sample data that are missing."""
    sample_data.load_missing(parse_database_url(server.environment["DATABASE_URL"]))


@contextmanager
def _database(directory: str) -> Iterator[URL]:
    given = os.environ.get("ALCHEMIST_TEST_DATABASE_URL")
    server = None if given else embedded.EmbeddedPostgres(Path(directory) / "data", durable=False)
    if server is not None:
        server.start()
    try:
        url = parse_database_url(given) if given else server.url  # type: ignore[union-attr]
        _administer(url, f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)", f"CREATE DATABASE {NAME}")
        yield url.set(database=NAME)
        _administer(url, f"DROP DATABASE {NAME} WITH (FORCE)")
    finally:
        if server is not None:
            server.stop()


def _administer(server: URL, *statements: str) -> None:
    engine = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def _admin_token(server: Gunicorn) -> str:
    create = [
        *("token", "create", "--email", "operator@alchemist.example", "--role", "admin"),
        "--allow-token-creation",
    ]
    made = subprocess.run(
        [sys.executable, "-m", "alchemist.cli", *create],
        env=server.environment,
        cwd=db.PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.strip()
