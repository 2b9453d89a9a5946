"""The feed of changes after a dump is restored on a server that numbers transactions anew."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import URL, NullPool, create_engine, text

from alchemist import database as db
from alchemist.cli import main
from alchemist.embedded import postgres
from tests import databases
from tests.conftest import _app_factory
from tests.domains.audit.test_changes import Reader, create

pytestmark = pytest.mark.slow
# More than the transactions of a new server and its migrations.
MANY = 3000


def libpq_url(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def run_program(name: str, *arguments: Any) -> None:
    subprocess.run([postgres._bin_dir() / name, *arguments], check=True, timeout=60)


@contextmanager
def client_of(url: URL) -> Iterator[FlaskClient]:
    with _app_factory(url) as make:
        yield make().test_client()


def begin_transactions(url: URL) -> None:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for _ in range(MANY):
            connection.execute(text("SELECT pg_current_xact_id()"))


def continue_feed(reader: Reader, client: FlaskClient) -> list[str]:
    """Return the changed rows that the reader had not read."""
    reader.client = client
    return [change["resource_pk"] for change in reader.read_all()]


@pytest.fixture
def run(app, monkeypatch):
    """Return a function that runs a command on a database."""
    bind = db.session.session_factory.kw.get("bind")

    def call(url, *arguments):
        monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        db.session.configure(bind=bind)

    return call


def test_every_reader_goes_on_after_a_restore(run, tmp_path):
    dump = tmp_path / "alchemist.dump"
    with databases.separate_database() as lost:
        begin_transactions(lost)
        with client_of(lost) as client:
            first, second = create(client), create(client)
            slow = Reader(client, "after=start&limit=1")
            slow.read_page()
            run_program("pg_dump", "--format=custom", f"--file={dump}", libpq_url(lost))
            fast = Reader(client)
            create(client)
            fast.read_all()
    with TemporaryDirectory(prefix="alchemist-test-") as directory:
        server = postgres.EmbeddedPostgres(Path(directory) / "data", durable=False)
        with server, databases.temporary_database(server.url) as restored:
            run_program("pg_restore", "--no-owner", f"--dbname={libpq_url(restored)}", dump)
            with client_of(restored) as client:
                assert Reader(client).read_all() == [], "The numbers are those of the lost server."
            run(restored, "after-restore", "--since", "2026-11-20T02:00:00Z")
            with client_of(restored) as client:
                start = Reader(client)
                assert continue_feed(start, client) == [first, second]
                assert continue_feed(slow, client) == [second]
                assert continue_feed(fast, client) == []
                new = [create(client), create(client)]
                for reader in (start, slow, fast):
                    assert continue_feed(reader, client) == new
            run(restored, "after-restore", "--since", "2026-11-20T02:00:00Z")
            with client_of(restored) as client:
                last = create(client)
                for reader in (start, slow, fast):
                    assert continue_feed(reader, client) == [last]
