"""Each test runs in one transaction that is rolled back; the app's commits end savepoints in it."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from uuid import uuid4

import alembic.command
import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy import URL, Connection, NullPool, create_engine, text

from alchemist import config, embedded
from alchemist import database as db
from alchemist.app import create_app
from alchemist.config import database_url
from alchemist.database import engines
from alchemist.domains.users import auth
from tests.servers import Gunicorn

SERVER, TEMPLATE = pytest.StashKey[URL](), pytest.StashKey[URL]()


def pytest_configure(config: pytest.Config) -> None:
    """Start one server and migrate one template, for this process and all of its workers."""
    if hasattr(config, "workerinput"):
        config.stash[SERVER] = database_url(config.workerinput["server"])
        config.stash[TEMPLATE] = database_url(config.workerinput["template"])
        return
    given = os.environ.get("ALCHEMIST_TEST_DATABASE_URL")
    server = database_url(given) if given else _embedded(config)
    template = _create(server)
    config.add_cleanup(lambda: _drop(server, template))
    alembic.command.upgrade(db.alembic_config(template), "head")
    config.stash[SERVER], config.stash[TEMPLATE] = server, template


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    for name, key in (("server", SERVER), ("template", TEMPLATE)):
        node.workerinput[name] = node.config.stash[key].render_as_string(hide_password=False)


def _embedded(config: pytest.Config) -> URL:
    directory = TemporaryDirectory(prefix="alchemist-test-")
    config.add_cleanup(directory.cleanup)
    server = embedded.EmbeddedPostgres(Path(directory.name) / "data", durable=False)
    server.start()
    config.add_cleanup(server.stop)
    return server.url


def _administer(server: URL, statement: str) -> None:
    engine = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))


def _create(server: URL, template: URL | None = None) -> URL:
    url = server.set(database=f"alchemist_test_{uuid4().hex}")
    suffix = f' TEMPLATE "{template.database}"' if template else ""
    _administer(server, f'CREATE DATABASE "{url.database}"{suffix}')
    return url


def _drop(server: URL, url: URL) -> None:
    _administer(server, f'DROP DATABASE IF EXISTS "{url.database}" WITH (FORCE)')


@contextmanager
def temporary_database(config: pytest.Config, template: URL | None) -> Iterator[URL]:
    server = config.stash[SERVER]
    url = _create(server, template)
    try:
        yield url
    finally:
        _drop(server, url)


@pytest.fixture(scope="session")
def template(pytestconfig: pytest.Config) -> URL:
    """A migrated database that nobody connects to, so that it can be copied."""
    return pytestconfig.stash[TEMPLATE]


@pytest.fixture(scope="session")
def database(pytestconfig: pytest.Config, template: URL) -> Iterator[URL]:
    """The migrated database of this worker; what a test writes there is rolled back."""
    with temporary_database(pytestconfig, template) as url:
        yield url


@pytest.fixture
def fresh_database(pytestconfig: pytest.Config, template: URL) -> Iterator[URL]:
    """A migrated database of one test, which may commit what it likes."""
    with temporary_database(pytestconfig, template) as url:
        yield url


@pytest.fixture
def empty_database(pytestconfig: pytest.Config) -> Iterator[URL]:
    """A database without any table."""
    with temporary_database(pytestconfig, None) as url:
        yield url


@pytest.fixture
def gunicorn(fresh_database: URL, tmp_path: Path) -> Iterator[Gunicorn]:
    """The service as it runs in production, on a database of its own."""
    with Gunicorn(fresh_database, tmp_path) as server:
        yield server


@pytest.fixture
def gunicorn_with_auth(fresh_database: URL, tmp_path: Path) -> Iterator[Gunicorn]:
    """The same, without open access."""
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_OPEN_ACCESS="false") as server:
        yield server


@pytest.fixture(scope="module")
def module_database(pytestconfig: pytest.Config, template: URL) -> Iterator[URL]:
    """A migrated database of one module, whose tests do not mind each other's rows."""
    with temporary_database(pytestconfig, template) as url:
        yield url


@pytest.fixture(scope="module")
def shared_gunicorn(
    module_database: URL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gunicorn]:
    """The service as it runs in production, on the database of the module."""
    with Gunicorn(module_database, tmp_path_factory.mktemp("gunicorn")) as server:
        yield server


@contextmanager
def _app_factory(url: URL) -> Iterator[Callable[..., Flask]]:
    before = db.session.session_factory.kw.get("bind"), db.current_engines()
    made: list[Flask] = []

    def make(**settings: Any) -> Flask:
        made.append(
            create_app(config.Settings(**{"database_url": url, "open_access": True} | settings))
        )
        return made[-1]

    yield make
    db.session.remove()
    db.use(before[1])
    db.session.configure(bind=before[0])
    for app in made:
        app.extensions["engines"].dispose()


@pytest.fixture
def make_committing_app(app: Flask, fresh_database: URL) -> Iterator[Callable[..., Flask]]:
    """Return what makes apps, by their settings, whose requests commit for real."""
    with _app_factory(fresh_database) as make:
        yield make


@pytest.fixture(scope="module")
def module_app(app: Flask, module_database: URL) -> Iterator[Flask]:
    """The app on the database of the module."""
    with _app_factory(module_database) as make:
        yield make()


@pytest.fixture(scope="session")
def app(database: URL) -> Iterator[Flask]:
    app = create_app(config.Settings(database_url=database, open_access=True))
    app.test_client_class = Client
    yield app
    app.extensions["engines"].dispose()


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """Replace pytest-flask's, in which all requests of a test would share one `g`."""


class Client(FlaskClient):
    """Starts every request with an empty session, as production does."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        db.session.commit()
        db.session.remove()
        return super().open(*args, **kwargs)


def _run(connection: Connection, command: str) -> None:
    """Run a command that is no statement of a request, and must not be counted as one."""
    server: Any = connection.connection.dbapi_connection
    done = server.pgconn.exec_(command.encode())
    assert done.status == ExecStatus.COMMAND_OK, done.error_message


class SharedConnectionEngine:
    """An engine whose only connection is the one of the test's outer transaction.

    A statement of it may fail without the transaction: it has a savepoint of its own.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.dbapi_connection: Any = connection.connection.dbapi_connection
        self.cursor = self.dbapi_connection.cursor

    def raw_connection(self) -> Self:
        _run(self.connection, "SAVEPOINT single_statement")
        return self

    def close(self) -> None:
        """End the savepoint; the connection stays open."""
        if self.dbapi_connection.info.transaction_status == TransactionStatus.INERROR:
            _run(self.connection, "ROLLBACK TO SAVEPOINT single_statement")
        _run(self.connection, "RELEASE SAVEPOINT single_statement")

    def begin(self) -> AbstractContextManager[Connection]:
        return nullcontext(self.connection)


@pytest.fixture
def transaction(app: Flask) -> Iterator[None]:
    engines: db.Engines = app.extensions["engines"]
    with engines.transaction.connect() as connection:
        outer = connection.begin()
        # However long a test thinks.
        _run(connection, "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
        shared: Any = SharedConnectionEngine(connection)
        db.use(db.Engines(shared, shared))
        db.session.configure(bind=connection, join_transaction_mode="create_savepoint")
        yield
        db.session.remove()
        outer.rollback()
    db.use(engines)


@pytest.fixture
def client(app: Flask, transaction: None) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def client_with_auth(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> FlaskClient:
    """The client of an app without open access, which has seen no token yet."""
    monkeypatch.setitem(app.extensions, "open_access", False)
    auth._token_cache.clear()
    return client


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Return a context manager that lists the statements run inside it, savepoints left out."""

    @contextmanager
    def recorder() -> Iterator[list[str]]:
        seen: list[str] = []

        def recording(name: str) -> Any:
            run = getattr(engines.DeadlineCursor, name)

            def record(cursor: Any, statement: str, *args: Any, **how: Any) -> Any:
                if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
                    seen.append(statement)
                return run(cursor, statement, *args, **how)

            return record

        with monkeypatch.context() as patch:
            for name in ("execute", "executemany"):
                patch.setattr(engines.DeadlineCursor, name, recording(name))
            yield seen

    return recorder
