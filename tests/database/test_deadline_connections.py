"""Connections that wait no longer than the deadline of the request."""

import pytest
from psycopg import _queries
from sqlalchemy import text

from alchemist import database as db
from tests.factories import make_order


@pytest.mark.parametrize("length", [100, 10_000])
def test_psycopg_looks_for_the_placeholders_of_a_statement_once(client, length):
    statement = text(f"SELECT :value || '{length:0{length}}'")
    db.session.execute(statement, {"value": "1"})
    misses = _queries._query2pg.cache_info().misses
    hits = _queries._query2pg.cache_info().hits
    db.session.execute(statement, {"value": "2"})
    assert _queries._query2pg.cache_info()[:2] == (hits + 1, misses)


def test_the_statements_of_orders_are_not_too_long_to_be_cached(client, statements):
    order = make_order()
    with statements() as executed:
        client.get(f"/api/v2/orders/{order.pk}")
        client.get("/api/v2/orders?limit=5&count=exact&expand=user,hero,items.product")
    assert len(executed) == 2
    assert max(map(len, executed)) < _queries.MAX_CACHED_STATEMENT_LENGTH
