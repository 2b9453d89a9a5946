"""The service behind a PgBouncer in transaction mode."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from psycopg.errors import InvalidSqlStatementName

from alchemist.database.deadline_connections import DeadlineConnection
from tests.pgbouncer import TRACKS_PREPARED_STATEMENTS, needs_pgbouncer, pooled
from tests.servers import Gunicorn

pytestmark = [needs_pgbouncer, pytest.mark.slow]
URL = "/api/v2/ingredients"
JSON = {"Content-Type": "application/json"}
# The limits of sessions are not what these tests are about.
OPTIONS = {"default_pool_size": "3", "ignore_startup_parameters": "options"}
NO_TRACKING = {"max_prepared_statements": "0"} if TRACKS_PREPARED_STATEMENTS else {}


@pytest.fixture
def pooler(fresh_database, tmp_path):
    with pooled(fresh_database, tmp_path, **OPTIONS, **NO_TRACKING) as url:
        yield url


def exchange(server, number):
    """Create a row and read it; return the statuses, and whether each response is about it."""
    name = f"Ingredient {number}"
    created = server.request("POST", URL, json.dumps({"name": name}), **JSON)
    if created.status != 201:
        return [created.status]
    paths = (json.loads(created.body)["pk"], "?limit=1", "?q=ingredient&limit=1")
    answers = [server.request("GET", f"{URL}{'' if p[0] == '?' else '/'}{p}") for p in paths]
    assert answers[0].status != 200 or json.loads(answers[0].body)["name"] == name
    for answer in answers[1:]:
        assert answer.status != 200 or set(json.loads(answer.body)[0]) >= {"pk", "name"}
    return [created.status, *(answer.status for answer in answers)]


def statuses(server, count):
    with ThreadPoolExecutor(8) as pool:
        return {
            status
            for found in pool.map(exchange, [server] * count, range(count))
            for status in found
        }


def test_without_prepared_statements_every_request_is_answered(pooler, tmp_path):
    with Gunicorn(pooler, tmp_path, ALCHEMIST_PREPARED_STATEMENTS="false") as server:
        assert statuses(server, 100) == {200, 201}


def test_prepared_statements_fail_with_the_name_of_the_setting(pooler, tmp_path):
    with Gunicorn(pooler, tmp_path) as server:
        assert 503 in statuses(server, 100) <= {200, 201, 503}
        assert "ALCHEMIST_PREPARED_STATEMENTS=false" in server.log.read_text()


def test_no_statement_of_another_client_runs(pooler):
    """Each of two clients prepares a statement in its session, and then they swap sessions."""
    conninfo = pooler.set(drivername="postgresql").render_as_string(hide_password=False)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(DeadlineConnection.connect(conninfo, autocommit=True))
            for _ in range(2)
        ]
        sessions = []
        for number, client in enumerate(clients):
            client.execute("BEGIN")
            sessions.append(client.execute("SELECT pg_backend_pid()").fetchone())
            assert client.execute(f"SELECT {number}", prepare=True).fetchone() == (number,)
        for client in clients:
            client.execute("COMMIT")
        # PgBouncer gives the session that was returned last.
        clients[0].execute("BEGIN")
        assert clients[0].execute("SELECT pg_backend_pid()").fetchone() == sessions[1]
        with pytest.raises(InvalidSqlStatementName):
            clients[0].execute("SELECT 0", prepare=True)


@pytest.mark.skipif(not TRACKS_PREPARED_STATEMENTS, reason="needs PgBouncer 1.21")
def test_prepared_statements_work_if_they_are_tracked(fresh_database, tmp_path):
    with (
        pooled(fresh_database, tmp_path, **OPTIONS, max_prepared_statements="200") as pooler,
        Gunicorn(pooler, tmp_path) as server,
    ):
        assert statuses(server, 100) == {200, 201}
