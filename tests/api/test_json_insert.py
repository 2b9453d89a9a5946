"""A new row: one statement, whatever hangs on it, and stored once whatever becomes of it."""

from uuid import UUID

import psycopg
import pytest
from sqlalchemy import ColumnDefault, NullPool, create_engine, func, inspect, select, text

from alchemist import database as db
from alchemist.api import operations
from alchemist.database import deadline_connections
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.potions import service as potions
from alchemist.domains.potions.models import Potion
from tests.factories import MODELS, make_ingredient
from tests.resources import BATCHES, Bodies

INGREDIENT = {"name": "Mandrake root", "description": None}
UNIQUE = {
    "ingredients": INGREDIENT,
    "heroes": {"nickname": "Ada"},
    "users": {"email": "ada@alchemist.example", "full_name": "Ada"},
    "coupons": {"code": "SAGE", "init_count": 1},
}


def potion(*ingredients):
    lines = [{"pk": str(one.pk), "amount": "1.500", "unit": "drop"} for one in ingredients]
    return {"name": "Draught", "description": "Sleepy.", "ingredients": lines}


def test_an_ingredient_is_one_statement(client, statements):
    with statements() as seen:
        assert client.post("/api/v2/ingredients", json=INGREDIENT).status_code == 201
    assert len(seen) == 1


@pytest.mark.parametrize("many", [1, 5, 100])
def test_a_potion_is_one_statement_however_many_ingredients_it_has(client, statements, many):
    body = potion(*(make_ingredient() for _ in range(many)))
    with statements() as seen:
        assert client.post("/api/v2/potions", json=body).status_code == 201
    assert len(seen) == 1


def test_ingredients_are_looked_up_if_the_body_repeats_their_values(client, statements):
    ingredient = make_ingredient(name="Mandrake")
    body = potion(ingredient)
    body["ingredients"][0]["name"] = "Mandrake"
    with statements() as seen:
        assert client.post("/api/v2/potions", json=body).status_code == 201
    assert len(seen) == 2


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "a"}])
def test_every_unknown_ingredient_is_reported_and_nothing_is_stored(client, headers):
    known = make_ingredient()
    body = potion(known)
    body["ingredients"][0:0] = [{"pk": str(UUID(int=1))}]
    body["ingredients"].append({"pk": str(UUID(int=2))})
    answer = client.post("/api/v2/potions", json=body, headers=headers)
    assert answer.status_code == 422
    assert [entry["pointer"] for entry in answer.json["errors"]] == [
        "#/ingredients/0/pk",
        "#/ingredients/2/pk",
    ]
    assert client.get("/api/v2/potions").json == []
    assert client.get("/api/v2/audit?resource=potions").json == []


def test_what_is_answered_is_what_is_stored(client):
    body = potion(*(make_ingredient() for _ in range(3)))
    answer = client.post("/api/v2/potions", json=body)
    stored = client.get(answer.headers["Location"])
    assert answer.get_data() == stored.get_data()
    assert answer.headers["ETag"] == stored.headers["ETag"]
    assert [line["pk"] for line in stored.json["ingredients"]] == [
        line["pk"] for line in body["ingredients"]
    ]
    assert [line["amount"] for line in stored.json["ingredients"]] == ["1.500"] * 3


def test_the_audit_entry_has_the_user_and_the_sent_fields(client):
    headers = {"X-Request-ID": "mine"}
    made = client.post("/api/v2/potions", json=potion(make_ingredient()), headers=headers).json
    [entry] = client.get(f"/api/v2/audit?resource_pk={made['pk']}").json
    assert entry["action"] == "create"
    assert entry["resource"] == "potions"
    assert entry["fields"] == ["description", "ingredients", "name"]
    assert entry["client_request_id"] == "mine"


@pytest.fixture
def losing(monkeypatch):
    """Return what lets the first insertion lose its connection, before or after it is done."""
    execute, lost = deadline_connections.DeadlineCursor.execute, iter([True])

    def install(*, is_done):
        def lose(cursor, statement, *args, **how):
            if "INSERT" not in statement or not next(lost, False):
                return execute(cursor, statement, *args, **how)
            if is_done:
                execute(cursor, statement, *args, **how)
            cursor.connection.close()
            raise psycopg.OperationalError("The connection is lost.")

        monkeypatch.setattr(deadline_connections.DeadlineCursor, "execute", lose)

    yield install
    assert next(lost, None) is None


def stored(database, kind):
    with create_engine(database, poolclass=NullPool).connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM audit_log")) == 1
        return connection.scalars(text(f"SELECT pk::text FROM {kind}")).all()


@pytest.mark.parametrize("is_done", [False, True])
def test_a_row_whose_connection_is_lost_is_stored_once_and_answered(
    make_committing_app, fresh_database, losing, is_done
):
    client = make_committing_app().test_client()
    losing(is_done=is_done)
    answer = client.post("/api/v2/ingredients", json=INGREDIENT)
    assert answer.status_code == 201
    assert stored(fresh_database, "ingredients") == [answer.json["pk"]]


@pytest.mark.parametrize("kind", UNIQUE)
def test_a_row_is_known_again_whichever_of_its_constraints_tells(
    make_committing_app, fresh_database, losing, kind
):
    """As after a restoration: it is told of the oldest index, and that is no longer the key's."""
    engine = create_engine(fresh_database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"REINDEX INDEX CONCURRENTLY {kind}_pkey"))
    client = make_committing_app().test_client()
    losing(is_done=True)
    answer = client.post(f"/api/v2/{kind}", json=UNIQUE[kind])
    assert answer.status_code == 201, answer.text
    assert stored(fresh_database, kind) == [answer.json["pk"]]


def test_a_row_of_somebody_else_is_not_known_again(make_committing_app):
    client = make_committing_app().test_client()
    answers = [client.post("/api/v2/heroes", json=UNIQUE["heroes"]) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]


def test_a_default_that_python_makes_is_stored_in_every_mode(client, monkeypatch):
    """By a creation without a key, by one with a key, and by the session."""
    column = Ingredient.__table__.c.description
    monkeypatch.setattr(column, "default", ColumnDefault(lambda: "Dug at dusk."))
    single = client.post("/api/v2/ingredients", json={"name": "a"}).json
    keyed = client.post(
        "/api/v2/ingredients", json={"name": "a"}, headers={"Idempotency-Key": "a"}
    ).json
    assert [single["description"], keyed["description"]] == ["Dug at dusk."] * 2


@pytest.mark.parametrize("amounts", [("1.500", None), (None, "1.500")])
def test_children_may_set_different_columns(client, monkeypatch, amounts):
    pks = [make_ingredient().pk for _ in amounts]

    def create(*, name, **_values):
        lines = [
            {"ingredient_id": pk, **({"amount": amount} if amount else {})}
            for pk, amount in zip(pks, amounts, strict=True)
        ]
        potion = Potion(name=name)
        db.set_new_children(potion, "ingredients", lines)
        return potion

    monkeypatch.setattr(potions, "create", create)
    body = {"name": "Tea", "ingredients": [str(pk) for pk in pks]}
    answer = client.post("/api/v2/potions", json=body)
    assert answer.status_code == 201
    assert [line["amount"] for line in answer.json["ingredients"]] == list(amounts)


# They differ by nature.
VARYING = {"pk", "created_at", "updated_at", "email", "nickname", "code", "name"}
VARYING |= {f"{name}_{kind}" for name in VARYING for kind in ("sort", "folded")} | {"search_words"}


def stored_row(resource, pk):
    """Return the row as PostgreSQL has it, and how many children it has."""
    row = db.session.get(MODELS[resource], pk, populate_existing=True)
    values = {c.key: getattr(row, c.key) for c in inspect(row).mapper.column_attrs}
    counts = [
        db.session.scalar(select(func.count()).where(next(iter(each.remote_side)) == row.pk))
        for each in inspect(row).mapper.relationships
        if each.uselist
    ]
    return {name: value for name, value in values.items() if name not in VARYING}, counts


def test_every_creation_by_a_single_statement_is_compared_here(app):
    views = [view.view_class for view in app.view_functions.values() if hasattr(view, "view_class")]
    single = {
        view.__module__.split(".")[-2]
        for view in views
        if getattr(getattr(view, "post", None), "is_single_statement", False)
        and "domains" in view.__module__
    }
    assert single == set(BATCHES)


# Of three children, with the required fields and with all.
@pytest.mark.parametrize("numbers", [(2, 8, 14), (5, 11, 17)])
@pytest.mark.parametrize("resource", BATCHES)
def test_a_row_is_the_same_with_a_key_and_without_and_as_the_session_stores_it(
    client, monkeypatch, resource, numbers
):
    bodies, rows = Bodies(), []
    for number, way in zip(numbers, ("statement", "key", "session"), strict=True):
        body = bodies.one(resource, number)
        if way == "session":
            monkeypatch.setattr(operations, "insert_returning_json", insert_by_session)
        headers = {} if way == "statement" else {"Idempotency-Key": way}
        answer = client.post(f"/api/v2/{resource}", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        rows.append(stored_row(resource, answer.json["pk"]))
    assert rows[0] == rows[1] == rows[2]


def insert_by_session(_schema, row, _references):
    """Stand in for the single statement: None makes the caller read what was stored."""
    db.insert(row)
