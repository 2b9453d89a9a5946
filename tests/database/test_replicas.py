"""Positions in the log, and which standbys are left alone; tests/test_replicas.py has real ones."""

from types import SimpleNamespace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from alchemist.config import Settings, parse_database_url
from alchemist.database import UNREACHABLE, WalPosition, autocommit, replicas
from alchemist.database.engines import create_replica_engines

URL = "/api/v2/ingredients"
STATEMENT = text("SELECT 1")


def test_a_position_is_read_as_it_is_written():
    position = WalPosition.parse("1-16/B374D848")
    assert position == WalPosition(1, 0x16B374D848)
    for each in (position, WalPosition(7, 0), UNREACHABLE):
        assert WalPosition.parse(str(each)) == each


@pytest.mark.parametrize("header", ["", "16/B374D848", "1-16/b3", "1-16/B374D8481", "1-1/1, 1-1/2"])
def test_a_malformed_position_is_an_error_that_names_the_header(client, header):
    for path in (URL, f"{URL}/019e0000-0000-7000-8000-000000000000"):
        response = client.get(path, headers={"Alchemist-Position": header})
        assert (response.status_code, response.json["code"]) == (400, "malformed-request")
        assert response.json["errors"][0]["header"] == "Alchemist-Position"


def test_without_standbys_a_position_changes_nothing(client, statements):
    with statements() as seen:
        assert client.get(URL, headers={"Alchemist-Position": "1-16/B374D848"}).status_code == 200
        assert client.post(URL, json={"name": "Mandrake"}).status_code == 201
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("standby_names", "is_for_all"),
    [("ANY 2 (a, b)", True), ("any 1(a)", True), ("ANY 1 (a, b)", False), ("a", False)],
)
def test_commits_wait_for_each_standby_of_a_quorum_of_all(standby_names, is_for_all):
    assert replicas._commits_wait_for_all(standby_names) is is_for_all


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("postgresql://one/shop", [("one", None)]),
        ("postgresql://one:1/shop", [("one", 1)]),
        ("postgresql:///shop?host=one:1&host=two:2", [("one", 1), ("two", 2)]),
        ("postgresql:///shop?host=one,two&port=1,2", [("one", 1), ("two", 2)]),
        (
            "postgresql:///shop?host=/run/one&host=/run/two",
            [("/run/one", None), ("/run/two", None)],
        ),
    ],
)
def test_each_host_has_an_engine(database, url, addresses):
    settings = Settings(database_url=database, replica_url=parse_database_url(url))
    parameters = [
        engine.dialect.create_connect_args(engine.url)[1]
        for engine in create_replica_engines(settings)
    ]
    found = [(each["host"], int(each["port"]) if "port" in each else None) for each in parameters]
    assert found == addresses
    assert {each["dbname"] for each in parameters} == {"shop"}


@pytest.fixture
def replica():
    engine = SimpleNamespace(url=parse_database_url("postgresql:///shop?host=one"))
    replica = replicas.Replica(engine, engine, "position", 1.0)
    replica._thread = SimpleNamespace(is_alive=lambda: True)
    replica._trusted_until = float("inf")
    return replica


def test_a_full_pool_does_not_pause_a_standby(replica, monkeypatch):
    def time_out(*_args):
        raise PoolTimeout

    monkeypatch.setattr(autocommit, "execute", time_out)
    assert replica.fetch_all(STATEMENT, {}, None) is None
    assert replica.is_usable()


@pytest.mark.parametrize(
    ("sqlstate", "is_left_alone"),
    [("40001", True), ("57014", True), ("42P01", True), (None, True), ("22008", False)],
)
def test_a_standby_that_fails_is_left_alone_unless_a_value_was_wrong(
    replica, monkeypatch, sqlstate, is_left_alone
):
    def fail(*_args):
        raise DBAPIError("SELECT 1", None, SimpleNamespace(sqlstate=sqlstate))

    monkeypatch.setattr(autocommit, "execute", fail)
    assert replica.is_usable()
    assert replica.fetch_all(STATEMENT, {}, None) is None
    assert replica.is_usable() is not is_left_alone


@pytest.mark.parametrize(
    ("required", "answers"),
    [
        (WalPosition(1, 90), True),
        (WalPosition(1, 100), True),
        (WalPosition(1, 101), False),
        # Of a former or of a later primary: the same bytes can be others.
        (WalPosition(2, 90), False),
        (WalPosition(0, 90), False),
        (UNREACHABLE, False),
    ],
)
def test_a_standby_answers_only_what_it_has_replayed(replica, monkeypatch, required, answers):
    states = {STATEMENT: [("row",)], replicas.STANDBY: [(1, "0/64", "application_name=one")]}
    monkeypatch.setattr(autocommit, "execute", lambda _, statement, __: states[statement])
    replica.check()
    rows = replica.fetch_all(STATEMENT, {}, required)
    assert rows == ([("row",)] if answers else None)
