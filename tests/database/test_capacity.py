"""The connections of a node, and the warning if PostgreSQL accepts fewer."""

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.config import Settings
from alchemist.database import capacity


@pytest.mark.parametrize(("settings", "count"), [({}, 4), ({"pool_size": 2}, 2)])
def test_each_pool_has_as_many_connections_as_threads_or_as_configured(
    make_committing_app, settings, count
):
    engines = make_committing_app(threads=4, **settings).extensions["engines"]
    assert {engines.transaction.pool.size(), engines.autocommit.pool.size()} == {count}


def test_the_connections_of_a_node_are_those_of_its_workers(fresh_database):
    settings = Settings(database_url=fresh_database, workers=3, threads=4, pool_size=2)
    assert capacity.max_node_connections(settings) == 12


@pytest.fixture
def limited_database(fresh_database):
    with db.create_unpooled_engine(fresh_database).begin() as connection:
        name = f'"{fresh_database.database}"'
        connection.execute(text(f"ALTER DATABASE {name} CONNECTION LIMIT 15"))
    return fresh_database


@pytest.mark.parametrize(
    ("settings", "is_warned"), [({}, True), ({"pool_size": 3}, False), ({"limits": "role"}, False)]
)
def test_a_node_warns_if_postgresql_accepts_fewer_connections(
    make_committing_app, limited_database, caplog, settings, is_warned
):
    make_committing_app(**settings)
    capacity.warn_if_pools_exceed_max_connections(
        Settings(database_url=limited_database, **settings)
    )
    messages = [record.getMessage() for record in caplog.records]
    assert [message.startswith("This node may open 16") for message in messages] == [
        True
    ] * is_warned


def test_reserved_connections_are_not_accepted(make_committing_app):
    make_committing_app()
    [(accepted,)] = db.fetch_autocommit(capacity.MAX_CONNECTIONS)
    [(total,)] = db.fetch_autocommit(text("SELECT current_setting('max_connections')::int"))
    assert 0 < accepted < total
