"""The service behind a PgBouncer in transaction mode, which tracks no prepared statements."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.pgbouncer import needs_pgbouncer, pooled
from tests.servers import Gunicorn

pytestmark = [needs_pgbouncer, pytest.mark.slow]
URL = "/api/v2/ingredients"
JSON = {"Content-Type": "application/json"}
# The limits of sessions are not what these tests are about.
OPTIONS = {"default_pool_size": "3", "ignore_startup_parameters": "options"}


@pytest.fixture
def pooler(fresh_database, tmp_path):
    with pooled(fresh_database, tmp_path, **OPTIONS) as url:
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
    """And no request runs the statement that another client has prepared."""
    with Gunicorn(pooler, tmp_path) as server:
        assert 503 in statuses(server, 100) <= {200, 201, 503}
        assert "ALCHEMIST_PREPARED_STATEMENTS=false" in server.log.read_text()
