"""A request ends in time, whatever it waits for: statements, a commit, a lock, or an address."""

import socket
from contextlib import ExitStack, suppress
from math import isinf
from time import monotonic

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from alchemist import database as db
from alchemist.database import deadline, deadline_connections
from alchemist.domains.ingredients import service
from tests.servers import TIMEOUT

URL = "/api/v2/ingredients"
# Seconds: more than any request here may take, and less than it would take without a limit.
MAX_SECONDS = 12

SLOW = """
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep({seconds});
        {then}
        RETURN NEW;
    END $$;
    CREATE {kind} TRIGGER slow AFTER INSERT ON ingredients {when} FOR EACH ROW
    EXECUTE FUNCTION slow();
"""

# A creation with a key runs in the session, which the tests break.
KEY = {"Idempotency-Key": "a"}


@pytest.fixture
def client(make_committing_app, monkeypatch):
    """The caller of an app whose requests end after a second, long before their statements."""
    monkeypatch.setattr(deadline_connections, "CONNECT_TIMEOUT", 0.1)
    limits = {"request_timeout": 1, "statement_timeout": 30, "pool_timeout": 0.1}
    return make_committing_app(**limits).test_client()


@pytest.fixture
def other(fresh_database):
    with create_engine(fresh_database, poolclass=NullPool).connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def slow(connection, seconds, then="", kind="", when=""):
    """Make inserts of ingredients take longer; `then` they may fail."""
    install = SLOW.format(seconds=seconds, then=then, kind=kind, when=when)
    connection.execute(text(install))


def assert_over(answer, began):
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert "Retry-After" in answer.headers
    assert monotonic() - began < MAX_SECONDS


def names(connection):
    return connection.execute(text("SELECT name FROM ingredients")).scalars().all()


def await_idle(connection):
    """Return when no other session of the database is at work."""
    busy = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'"
    )
    deadline = monotonic() + TIMEOUT
    while connection.execute(busy).scalar_one():
        assert monotonic() < deadline


def test_statements_that_together_last_too_long_are_cut_off(client, other, monkeypatch):
    ran = []

    def create(**_values):
        for number in range(100):
            db.session.execute(text("SELECT pg_sleep(0.3)"))
            ran.append(number)

    monkeypatch.setattr(service, "create", create)
    began = monotonic()
    assert_over(client.post(URL, json={"name": "Mandrake"}, headers=KEY), began)
    assert len(ran) < 5
    await_idle(other)


def test_contention_is_not_repeated_beyond_the_end_of_the_request(client, other):
    slow(other, 0.9, "RAISE EXCEPTION USING ERRCODE = '40001';")
    began = monotonic()
    assert_over(client.post(URL, json={"name": "Mandrake"}), began)
    assert names(other) == []
    await_idle(other)


def test_a_commit_that_lasts_too_long_is_cut_off_and_undone(client, other):
    slow(other, 20, kind="CONSTRAINT", when="DEFERRABLE INITIALLY DEFERRED")
    began = monotonic()
    assert_over(client.post(URL, json={"name": "Mandrake"}), began)
    await_idle(other)
    assert names(other) == []
    other.execute(text("DROP TRIGGER slow ON ingredients"))
    assert client.post(URL, json={"name": "Sage"}).status_code == 201
    assert names(other) == ["Sage"]


def test_a_read_that_lasts_too_long_is_cut_off(client, other, monkeypatch):
    other.execute(text("ALTER TABLE ingredients RENAME TO stored"))
    other.execute(text("CREATE VIEW ingredients AS SELECT stored.* FROM stored, pg_sleep(20)"))
    began = monotonic()
    assert_over(client.get(URL), began)
    await_idle(other)
    other.execute(text("DROP VIEW ingredients"))
    other.execute(text("ALTER TABLE stored RENAME TO ingredients"))
    assert client.get(URL).status_code == 200


def test_outside_of_a_request_nothing_is_limited(client):
    client.get(URL)
    assert isinf(deadline.remaining())


@pytest.mark.parametrize("engine", ["autocommit", "transaction"])
def test_a_request_without_time_does_not_wait_for_a_connection(client, engine):
    pool = getattr(client.application.extensions["engines"], engine)
    deadline.start_request(0.05)
    try:
        with pytest.raises(deadline_connections.DeadlineExceeded):
            pool.connect()
    finally:
        deadline.clear()
    pool.connect().close()


def test_a_request_without_time_to_connect_delays_no_other(make_committing_app):
    engine = make_committing_app(pool_timeout=0.1).extensions["engines"].autocommit
    deadline.start_request(1.5)
    try:
        with pytest.raises(OperationalError, match="No time is left to connect"):
            engine.connect()
    finally:
        deadline.clear()
    engine.connect().close()


def test_addresses_that_do_not_answer_are_tried_while_there_is_time(
    make_committing_app, fresh_database
):
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(8)]
        ports = ",".join(str(address.getsockname()[1]) for address in silent)
        hosts = ",".join(["127.0.0.1"] * len(silent))
        url = fresh_database.set(host=None, port=None, query={"host": hosts, "port": ports})
        client = make_committing_app(database_url=url, request_timeout=3).test_client()
        began = monotonic()
        assert_over(client.get(URL), began)


def test_a_database_that_does_not_answer_keeps_one_request_waiting_and_not_all(
    make_committing_app, fresh_database
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = fresh_database.set(host="127.0.0.1", port=silent.getsockname()[1], query={})
        client = make_committing_app(database_url=url).test_client()
        client.get(URL)
        began = monotonic()
        seen = {client.get(URL).status_code for _ in range(20)}
        # A few of them ask again; all of them would take 40 seconds.
        assert monotonic() - began < 30
        assert seen == {503}


def test_connections_that_die_leave_no_more_than_there_may_be(make_committing_app, other):
    """One dies while other threads hold theirs: those are ended when they come back."""
    app = make_committing_app()
    engine = app.extensions["engines"].autocommit
    mine = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'alchemist'"
    )
    with app.app_context():
        for _ in range(3):
            with ExitStack() as held:
                for _ in range(3):
                    held.callback(engine.raw_connection().close)
                victim = text("SELECT pg_terminate_backend(pg_backend_pid())")
                with suppress(OperationalError):
                    db.fetch_autocommit(victim)
                assert db.fetch_autocommit(text("SELECT 1")) == [(1,)]
        assert other.scalar(mine) <= 2 * engine.pool.size()
