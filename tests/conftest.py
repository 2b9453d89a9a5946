"""Each test runs in one transaction that is rolled back; the app's commits end savepoints in it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy import URL, Connection

from alchemist import config
from alchemist import database as db
from alchemist.app import create_app
from alchemist.config import parse_database_url
from alchemist.database import deadline_connections, engines
from alchemist.domains.users import auth, last_use
from tests import databases, pgbouncer, problem_contract
from tests.servers import LONG_TIMEOUTS, Gunicorn

DATABASES = pytest.StashKey[tuple[URL, URL]]()


def start_databases(config: pytest.Config) -> tuple[URL, URL]:
    """Return the URLs of the server and of the template; start the server at the first call."""
    if DATABASES not in config.stash:
        stack = ExitStack()
        config.add_cleanup(stack.close)
        config.stash[DATABASES] = databases.start(stack, _cache_directory(config, "clusters"))
    return config.stash[DATABASES]


def _cache_directory(config: pytest.Config, name: str) -> Path | None:
    """Return a directory of this user, or None without a cache that this user can write."""
    cache: pytest.Cache | None = getattr(config, "cache", None)
    with suppress(OSError):
        return cache and cache.mkdir(f"{name}-{os.geteuid()}")
    return None


# Deletes a directory when pytest closes the pipe, or is killed. Child processes of a killed run may
# still write for a moment, so it tries again.
DELETE_AT_EXIT = """
import os, shutil, sys, time
sys.stdin.read()
for _ in range(300):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]):
        break
    time.sleep(0.1)
"""


def isolate_environment() -> None:
    """Ignore proxies, and handle Ctrl-C even if a shell started pytest in the background."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    signal.signal(signal.SIGINT, signal.default_int_handler)


MEMORY = Path("/dev/shm")
# Bytes. The temporary files of a run with three workers take a third of it.
MIN_FREE_MEMORY = 4 * 2**30


def memory_directory() -> Path | None:
    """Return a directory in memory that has room for the temporary files of a run, or None.

    The servers of the tests make and delete a thousand files each, which a disk takes long for.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return None
    status = os.statvfs(MEMORY)
    # Some tests make programs.
    is_usable = not status.f_flag & os.ST_NOEXEC
    return MEMORY if is_usable and status.f_bavail * status.f_frsize > MIN_FREE_MEMORY else None


def use_temporary_directory(config: pytest.Config) -> None:
    """Use one directory for all temporary files of this run, and delete it whatever happens."""
    directory = tempfile.mkdtemp(prefix="alc-", dir=memory_directory())
    # Some tests run processes of other users.
    os.chmod(directory, 0o711)
    process = subprocess.Popen(
        [sys.executable, "-c", DELETE_AT_EXIT, directory],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    config.add_cleanup(lambda: process.communicate() and None)
    os.environ["TMPDIR"] = tempfile.tempdir = directory


def cache_bytecode(config: pytest.Config) -> None:
    """Cache bytecode apart from the sources, if Python may not write beside them.

    The tests start hundreds of processes, and without a cache each compiles every module.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        directory = _cache_directory(config, "bytecode") or tempfile.gettempdir()
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(directory)
        sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Take the databases of the main process, if this is a worker of pytest-xdist."""
    isolate_environment()
    if not hasattr(config, "workerinput"):
        use_temporary_directory(config)
        cache_bytecode(config)
    if urls := getattr(config, "workerinput", {}).get("databases"):
        server, template = map(parse_database_url, urls)
        config.stash[DATABASES] = server, template


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["databases"] = [
        url.render_as_string(hide_password=False) for url in start_databases(node.config)
    ]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Unregister Hypothesis' plug-in if no test uses it: for its summary it imports Hypothesis."""
    manager = session.config.pluginmanager
    if "hypothesis" not in sys.modules and manager.has_plugin("hypothesispytest"):
        manager.unregister(name="hypothesispytest")


@pytest.fixture(scope="session")
def database_server(pytestconfig: pytest.Config) -> URL:
    return start_databases(pytestconfig)[0]


@pytest.fixture(scope="session")
def template(pytestconfig: pytest.Config) -> URL:
    """A migrated database that nobody connects to, so that it can be copied."""
    return start_databases(pytestconfig)[1]


@pytest.fixture(scope="session")
def through_pooler(
    database_server: URL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[URL], URL]]:
    """Return what puts a database behind PgBouncer, if ALCHEMIST_TEST_PGBOUNCER is set."""
    if not pgbouncer.IS_USED:
        yield lambda url: url
        return
    with pgbouncer.pooled(database_server, tmp_path_factory.mktemp("pgbouncer")) as pooler:
        yield lambda url: pooler.set(database=url.database)


@pytest.fixture(scope="session")
def database(
    database_server: URL, template: URL, through_pooler: Callable[[URL], URL]
) -> Iterator[URL]:
    """The migrated database of this worker; what a test writes there is rolled back."""
    with databases.temporary_database(database_server, template) as url:
        yield through_pooler(url)


@pytest.fixture
def fresh_database(
    database_server: URL, template: URL, through_pooler: Callable[[URL], URL]
) -> Iterator[URL]:
    """A migrated database of one test, which may commit what it likes."""
    with databases.temporary_database(database_server, template) as url:
        yield through_pooler(url)


@pytest.fixture
def empty_database(database_server: URL) -> Iterator[URL]:
    """A database without any table."""
    with databases.temporary_database(database_server) as url:
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
def module_database(
    database_server: URL, template: URL, through_pooler: Callable[[URL], URL]
) -> Iterator[URL]:
    """A migrated database of one module, whose tests do not mind each other's rows."""
    with databases.temporary_database(database_server, template) as url:
        yield through_pooler(url)


@pytest.fixture(scope="module")
def shared_gunicorn(
    module_database: URL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gunicorn]:
    """The service as it runs in production, on the database of the module."""
    with Gunicorn(module_database, tmp_path_factory.mktemp("gunicorn")) as server:
        yield server


def _settings(**settings: Any) -> config.Settings:
    defaults = {**LONG_TIMEOUTS, **pgbouncer.SETTINGS, "open_access": True}
    return config.Settings(**{**defaults, **settings})


@contextmanager
def _app_factory(url: URL) -> Iterator[Callable[..., Flask]]:
    before = db.session.session_factory.kw.get("bind"), db.current_engines()
    made: list[Flask] = []

    def make(**settings: Any) -> Flask:
        made.append(create_app(_settings(**{"database_url": url, **settings})))
        return made[-1]

    yield make
    db.session.remove()
    db.use_engines(before[1])
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
    app = create_app(_settings(database_url=database))
    app.test_client_class = Client
    yield app
    app.extensions["engines"].dispose()


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """Replace pytest-flask's, in which all requests of a test would share one `g`."""


@pytest.fixture(autouse=True)
def _no_background_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only the tests that call `flush` record uses: they share the connection of a test."""
    monkeypatch.setattr(last_use.LastUseRecorder, "_flush_regularly", lambda _: None)


class Client(FlaskClient):
    """Starts every request with an empty session, as production does."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        db.session.commit()
        db.session.remove()
        response = super().open(*args, **kwargs)
        problem_contract.check(self.application, response)
        return response


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


@contextmanager
def _rolled_back_transaction(target: db.Engines) -> Iterator[None]:
    """Run every statement on one connection, in a transaction that is rolled back at the end."""
    before = db.current_engines()
    with target.transaction.connect() as connection:
        outer = connection.begin()
        _run(connection, "BEGIN")
        shared: Any = SharedConnectionEngine(connection)
        db.use_engines(db.Engines(shared, shared))
        db.session.configure(bind=connection, join_transaction_mode="create_savepoint")
        yield
        db.session.remove()
        outer.rollback()
    db.use_engines(before)


@pytest.fixture
def transaction(app: Flask) -> Iterator[None]:
    with _rolled_back_transaction(app.extensions["engines"]):
        yield


@pytest.fixture(scope="session")
def sample_engines(database_server: URL, template: URL) -> Iterator[db.Engines]:
    """The engines of a database with the sample data."""
    # Few tests need this, and it takes long to import.
    from alchemist.cli import sample_data  # noqa: PLC0415

    with databases.temporary_database(database_server, template) as url:
        sample_data.load_missing(url)
        made = db.Engines(
            *engines.create_transaction_and_autocommit_engines(_settings(database_url=url))
        )
        yield made
        made.dispose()


@pytest.fixture
def sample_transaction(app: Flask, sample_engines: db.Engines) -> Iterator[None]:
    """Like `transaction`, with the sample data."""
    with _rolled_back_transaction(sample_engines):
        yield


@pytest.fixture
def client_with_sample_data(app: Flask, sample_transaction: None) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def client(app: Flask, transaction: None) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def closed_access(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch open access off; the app has seen no token yet."""
    monkeypatch.setitem(app.extensions, "open_access", False)
    auth._token_cache.clear()


@pytest.fixture
def client_with_auth(client: FlaskClient, closed_access: None) -> FlaskClient:
    """The client of an app without open access."""
    return client


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Return a context manager that lists the statements run inside it, savepoints left out."""

    @contextmanager
    def recorder() -> Iterator[list[str]]:
        seen: list[str] = []

        def recording(name: str) -> Any:
            run = getattr(deadline_connections.DeadlineCursor, name)

            def record(cursor: Any, statement: str, *args: Any, **how: Any) -> Any:
                if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
                    seen.append(statement)
                return run(cursor, statement, *args, **how)

            return record

        with monkeypatch.context() as patch:
            for name in ("execute", "executemany"):
                patch.setattr(deadline_connections.DeadlineCursor, name, recording(name))
            yield seen

    return recorder
