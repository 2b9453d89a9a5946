"""While the database cannot serve, the service says so soon; afterwards it recovers by itself."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic, sleep

import alembic.command
import pytest
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from alchemist import embedded
from alchemist.embedded import postgres as embedded_postgres
from tests.servers import ProductionGunicorn
from tests.standbys import frozen, kill

pytestmark = pytest.mark.slow

URL = "/api/v2/ingredients"
JSON = {"Content-Type": "application/json"}
# Seconds: for a refusal, and from the return of the database until every worker serves again. A
# worker tries to connect once a second.
SOON, RECOVERY = 3, 3
# Seconds, where the database does not even refuse: a request's own limit, and a little.
LATEST = 5.5


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """A server of this module, which may be stopped; its database is migrated."""
    with embedded.EmbeddedPostgres(
        tmp_path_factory.mktemp("outages") / "data", durable=False
    ) as postgres:
        alembic.command.upgrade(db.alembic_config(postgres.url), "head")
        yield postgres


@pytest.fixture(scope="module")
def service(postgres, tmp_path_factory):
    with ProductionGunicorn(postgres.url, tmp_path_factory.mktemp("gunicorn")) as service:
        yield service
    started = service.log.read_text().count("Booting worker")
    assert started == 2, "Recovery took a restart."


@contextmanager
def session(postgres):
    """Somebody else's session, each statement of which is a transaction."""
    engine = create_engine(postgres.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def execute(postgres, *statements):
    with session(postgres) as connection:
        for statement in statements:
            connection.execute(text(statement))


END_OTHERS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE application_name = 'alchemist' AND pid <> pg_backend_pid()
"""


def create(service):
    return service.request("POST", URL, json.dumps({"name": "Mandrake"}), **JSON)


def read(service):
    return service.request("GET", URL)


def ready(service):
    return service.request("GET", "/readyz")


def assert_refused(service, *requests, within=SOON):
    for request in requests:
        began = monotonic()
        answer = request(service)
        assert monotonic() - began < within
        assert (answer.status, json.loads(answer.body)["code"]) == (503, "unavailable")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0


def statuses(service):
    """Each worker has pools of its own, hence several of each."""
    answers = [request(service) for request in [read, create] * 8]
    return {answer.status for answer in answers}


def assert_served(service):
    assert statuses(service) == {200, 201}
    assert ready(service).status == 200


def assert_recovers(service):
    deadline = monotonic() + RECOVERY
    while statuses(service) != {200, 201}:
        assert monotonic() < deadline
        sleep(0.05)
    assert_served(service)


def assert_lives(service):
    assert service.request("GET", "/livez").status == 200


def test_a_database_that_is_stopped_and_started_again(postgres, service):
    assert_served(service)
    postgres.stop()
    assert_refused(service, create, read, ready)
    assert_lives(service)
    postgres.start()
    assert_recovers(service)


def test_a_database_that_crashes_under_its_connections(postgres, service):
    assert_served(service)
    kill(postgres)
    assert_refused(service, create, read, ready)
    postgres.start()
    assert_recovers(service)


def test_a_database_that_is_shutting_down_lets_nobody_in(postgres, service):
    """Existing sessions may go on, and keep it from ending; whoever comes new meets 57P03."""
    assert_served(service)
    with session(postgres) as witness:
        postgres.process.send_signal(signal.SIGTERM)
        witness.execute(text(END_OTHERS)).all()
        assert_refused(service, create, read, ready)
        assert_lives(service)
    postgres.process.wait(10)
    postgres.stop()
    postgres.start()
    assert_recovers(service)


def test_a_database_that_is_read_only_still_reads(postgres, service):
    database = f"ALTER DATABASE {postgres.url.database}"
    execute(postgres, f"{database} SET default_transaction_read_only = on", END_OTHERS)
    assert_refused(service, create, ready)
    assert read(service).status == 200
    assert_lives(service)
    with session(postgres) as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        # The server of these tests may lose other commits when it crashes, as the next test does.
        connection.execute(text("SET synchronous_commit = on"))
        connection.execute(text(f"{database} RESET default_transaction_read_only"))
    # Sessions that are read-only, as those with a former primary, are replaced.
    assert_recovers(service)


def test_a_database_in_recovery_still_reads(tmp_path, monkeypatch):
    """Until it is promoted, as the standby of a primary that is gone."""
    monkeypatch.setitem(embedded_postgres.POSTGRES, "wal_level", "replica")
    with embedded.EmbeddedPostgres(tmp_path / "data", durable=False) as postgres:
        alembic.command.upgrade(db.alembic_config(postgres.url), "head")
        postgres.stop()
        (postgres.directory.cluster / "standby.signal").touch()
        postgres.start()
        with ProductionGunicorn(postgres.url, tmp_path) as service:
            assert_refused(service, create, ready)
            assert read(service).status == 200
            assert_lives(service)
            execute(postgres, "SELECT pg_promote()")
            assert_recovers(service)


COUNT_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'alchemist'"


def test_writes_without_their_synchronous_standby_leave_no_sessions(tmp_path, monkeypatch):
    """A commit that waits for a standby does not notice that its client is gone."""
    settings = {"wal_level": "replica", "max_wal_senders": "1", "synchronous_standby_names": "a"}
    for name, value in settings.items():
        monkeypatch.setitem(embedded_postgres.POSTGRES, name, value)
    with embedded.EmbeddedPostgres(tmp_path / "data", durable=False) as postgres:
        alembic.command.upgrade(db.alembic_config(postgres.url), "head")
        execute(postgres, f"ALTER DATABASE {postgres.url.database} SET synchronous_commit = on")
        with (
            ProductionGunicorn(
                postgres.url, tmp_path, ALCHEMIST_WORKERS="1", ALCHEMIST_REQUEST_TIMEOUT="5"
            ) as service,
            ThreadPoolExecutor(4) as pool,
        ):
            answers = [answer.status for answer in pool.map(create, [service] * 12)]
            assert set(answers) == {503}
            with session(postgres) as connection:
                # Two pools of four connections.
                assert connection.execute(text(COUNT_SESSIONS)).scalar() <= 8
            assert read(service).status == 200


def test_a_database_with_too_many_connections(postgres, tmp_path):
    """Of a role of its own, for a superuser may always connect."""
    execute(
        postgres,
        "CREATE ROLE clerk LOGIN CONNECTION LIMIT 0",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk",
    )
    with ProductionGunicorn(postgres.url.set(username="clerk"), tmp_path) as service:
        assert_refused(service, create, read, ready)
        assert "too many connections" in service.log.read_text()
        assert_lives(service)
        execute(postgres, "ALTER ROLE clerk CONNECTION LIMIT -1")
        assert_recovers(service)


def test_a_table_that_somebody_locks(postgres, service):
    with session(postgres) as other, other.execution_options(isolation_level="READ COMMITTED"):
        other.execute(text("LOCK TABLE ingredients"))
        assert_refused(service, create, read)
        assert_lives(service)
        assert ready(service).status == 200
    assert_recovers(service)


def test_a_database_that_hangs(postgres, service):
    """Neither an error nor an end of the connection tells of it: only the clock does."""
    assert_served(service)
    with frozen(postgres):
        assert_refused(service, read, within=LATEST)
        assert_lives(service)
    assert_recovers(service)
