"""The feed of changes: complete, without repetition, and in the order of the versions of a row."""

import re
from collections.abc import Callable, Iterator
from random import Random
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from flask.testing import FlaskClient
from sqlalchemy import URL

from tests import databases

PATH = "/api/v2/changes"
ANY = {"If-Match": "*"}
INSERT = (
    "INSERT INTO audit_log (pk, resource, resource_pk, action, fields) VALUES (%s, %s, %s, %s, %s)"
)
UPDATE = "UPDATE ingredients SET version = version + 1 WHERE pk = %s RETURNING version"


@pytest.fixture(scope="module")
def module_database() -> Iterator[URL]:
    """A database on a server of its own: open transactions of other databases delay the feed."""
    with databases.separate_database() as url:
        yield url


@pytest.fixture
def committing_client(module_app) -> FlaskClient:
    """A client of an app that commits: a change of an open transaction is never in the feed."""
    return module_app.test_client()


@pytest.fixture
def connect(module_database) -> Iterator[Callable[[], psycopg.Connection[Any]]]:
    """Return a function that opens a connection, in a transaction."""
    dsn = module_database.set(drivername="postgresql").render_as_string(hide_password=False)
    connections: list[psycopg.Connection[Any]] = []

    def open_connection() -> psycopg.Connection[Any]:
        connections.append(psycopg.connect(dsn))
        return connections[-1]

    yield open_connection
    for connection in connections:
        connection.close()


class Reader:
    """Follows the feed from its beginning."""

    def __init__(self, committing_client: FlaskClient, query: str = "after=start") -> None:
        self.client, self.url, self.changes = committing_client, f"{PATH}?{query}", []

    def read_page(self) -> list[Any]:
        response = self.client.get(self.url)
        assert response.status_code == 200, response.text
        assert ("Retry-After" in response.headers) == (response.json == [])
        self.url = re.fullmatch('<http://localhost(.*)>; rel="next"', response.headers["Link"])[1]
        self.changes += response.json
        return response.json

    def read_all(self) -> list[Any]:
        """Read to the present end, and return the changes that were new."""
        before = len(self.changes)
        while self.read_page():
            pass
        return self.changes[before:]


def change(connection, pk: UUID, *fields: str, action: str = "update") -> UUID:
    """Insert an audit entry in the transaction of the connection, and return its pk."""
    entry = uuid4()
    connection.execute(INSERT, (entry, "ingredients", pk, action, list(fields)))
    return entry


def pks(changes: list[Any]) -> list[str]:
    return [each["pk"] for each in changes]


def create(committing_client: FlaskClient) -> str:
    return committing_client.post("/api/v2/ingredients", json={"name": "Rue"}).json["pk"]


def test_the_feed_has_what_happened_to_a_row_in_order(committing_client):
    reader = Reader(committing_client)
    reader.read_all()
    pk = create(committing_client)
    for name in ("Sage", "Thyme"):
        committing_client.patch(f"/api/v2/ingredients/{pk}", json={"name": name}, headers=ANY)
    committing_client.delete(f"/api/v2/ingredients/{pk}", headers=ANY)
    changes = reader.read_all()
    assert [each["action"] for each in changes] == ["create", "update", "update", "delete"]
    assert {each["resource_pk"] for each in changes} == {pk}
    assert changes[1]["fields"] == ["name"]
    assert set(changes[0]) == {
        *("pk", "resource", "resource_pk", "action", "fields", "user_id", "created_at"),
    }


def test_without_after_the_feed_begins_now(committing_client):
    create(committing_client)
    reader = Reader(committing_client, query="")
    assert reader.read_page() == []
    pk = create(committing_client)
    assert [each["resource_pk"] for each in reader.read_all()] == [pk]


def test_a_change_that_commits_late_is_not_missed(committing_client, connect):
    reader = Reader(committing_client)
    reader.read_all()
    slow = connect()
    late = change(slow, uuid4(), action="create")
    early = create(committing_client)
    assert reader.read_all() == [], "The later change waits for the one that began before it."
    slow.commit()
    changes = reader.read_all()
    assert changes[0]["pk"] == str(late)
    assert changes[1]["resource_pk"] == early
    assert reader.read_all() == []


def test_a_change_that_is_rolled_back_is_never_shown(committing_client, connect):
    reader = Reader(committing_client)
    reader.read_all()
    slow = connect()
    change(slow, uuid4())
    pk = create(committing_client)
    slow.rollback()
    assert [each["resource_pk"] for each in reader.read_all()] == [pk]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_changes_of_a_row_have_the_order_of_its_versions_not_of_the_transactions(
    committing_client, connect, limit
):
    row = create(committing_client)
    reader = Reader(committing_client, query=f"after=start&limit={limit}")
    reader.read_all()
    first, second = connect(), connect()
    other = change(first, uuid4())
    second.execute(UPDATE, (row,))
    older = change(second, row, "name")
    second.commit()
    first.execute(UPDATE, (row,))
    newer = change(first, row, "name")
    assert reader.read_all() == []
    first.commit()
    assert pks(reader.read_all()) == [str(other), str(older), str(newer)]


def test_a_transaction_between_two_versions_of_a_row_does_not_reverse_them(
    committing_client, connect
):
    row = create(committing_client)
    reader = Reader(committing_client)
    reader.read_all()
    first, between, last = connect(), connect(), connect()
    for connection in (first, between, last):
        change(connection, uuid4())
    last.execute(UPDATE, (row,))
    older = change(last, row, "name")
    last.commit()
    first.execute(UPDATE, (row,))
    newer = change(first, row, "name")
    first.commit()
    reader.read_all()
    between.commit()
    reader.read_all()
    of_row = [each["pk"] for each in reader.changes if each["resource_pk"] == row]
    assert of_row[1:] == [str(older), str(newer)]


def test_the_feed_can_be_read_in_pages_of_any_size(committing_client):
    for _ in range(5):
        create(committing_client)
    everything = Reader(committing_client).read_all()
    for limit in (1, 2, 3, 5, 1000):
        reader = Reader(committing_client, query=f"after=start&limit={limit}")
        assert len(reader.read_page()) == min(limit, len(everything))
        reader.read_all()
        assert reader.changes == everything


def test_the_filter_keeps_the_changes_of_one_resource(committing_client):
    pk = create(committing_client)
    committing_client.post("/api/v2/heroes", json={"nickname": "Rue"})
    heroes = Reader(committing_client, query="after=start&resource=heroes").read_all()
    assert {each["resource"] for each in heroes} == {"heroes"}
    ingredients = Reader(committing_client, query="after=start&resource=ingredients").read_all()
    assert {each["resource"] for each in ingredients} == {"ingredients"}
    assert ingredients[-1]["resource_pk"] == pk


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "1-2", "-1", "1-2-3-4", "²", "9" * 18, "1-%s-1" % ("9" * 18)),
        *("1-0-5", "5-1-1", "5-5-1", "1-2-0", "007", "1-02-3", "START"),
    ],
)
def test_any_other_cursor_is_rejected(committing_client, cursor):
    response = committing_client.get(PATH, query_string={"after": cursor})
    assert (response.status_code, response.json["code"]) == (400, "invalid-cursor")
    assert response.json["errors"][0]["parameter"] == "after"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "after=", "sort=pk", "resource=%00", "resource=spells"]
)
def test_an_invalid_parameter_is_rejected(committing_client, query):
    assert committing_client.get(f"{PATH}?{query}").status_code == 422


WRITERS, TRANSACTIONS, ROWS = 4, 25, 5


def _write(connection: Any, rows: list[UUID], random: Random, committed: list[Any]) -> None:
    """Change random rows in transactions of random length, of which some are rolled back."""
    for _ in range(TRANSACTIONS):
        changes = []
        # In the order of the rows, so that there is no deadlock.
        for row in sorted(random.sample(rows, random.randint(1, ROWS))):
            [version] = connection.execute(UPDATE, (row,)).fetchone()
            changes.append((str(row), version, str(change(connection, row, "name"))))
        if random.random() < 0.25:
            connection.rollback()
        else:
            connection.commit()
            committed += changes


@pytest.mark.parametrize("seed", range(3))
def test_every_reader_gets_every_committed_change_exactly_once(committing_client, connect, seed):
    random = Random(seed)
    rows = [UUID(create(committing_client)) for _ in range(ROWS)]
    readers = [
        Reader(committing_client, query=f"after=start&limit={limit}") for limit in (1, 3, 100)
    ]
    for reader in readers:
        reader.read_all()
        reader.changes.clear()
    committed: list[Any] = []
    writers = [
        Thread(target=_write, args=(connect(), rows, Random(random.random()), committed))
        for _ in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        for reader in readers:
            reader.read_page()
    for reader in readers:
        reader.read_all()
        assert sorted(pks(reader.changes)) == sorted(pk for *_, pk in committed)
        versions = {pk: version for _, version, pk in committed}
        for row in rows:
            of_row = [
                versions[each["pk"]] for each in reader.changes if each["resource_pk"] == str(row)
            ]
            assert of_row == sorted(of_row)
