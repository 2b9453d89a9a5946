"""What the database refuses, by sqlstate: whose fault it is, and what the client may do."""

import pytest
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from alchemist.domains.ingredients import service
from alchemist.domains.users import auth
from tests import problem_contract
from tests.factories import make_ingredient, make_potion, make_user, sign_in

URL = "/api/v2/ingredients"
ANY = {"If-Match": "*"}

# Statements that PostgreSQL, or the driver, refuses for a value in them.
UNSTORABLE = {
    "22001, a long text": ("UPDATE ingredients SET name = repeat('a', 128)", "too-long"),
    "22003, a large number": ("SELECT 10 ^ 400", "out-of-range"),
    "22003, infinity": ("SELECT 'infinity'::numeric(12, 3)", "out-of-range"),
    "22012, nothing to divide by": ("SELECT 1 / (version - 1) FROM ingredients", "out-of-range"),
    "22007, a date": ("SELECT 'soon'::date", "wrong-type"),
    "22008, a day": ("SELECT '2026-02-30'::date", "out-of-range"),
    "22P02, a key": ("SELECT 'mandrake'::uuid", "wrong-type"),
    "22021, bytes that are not UTF-8": ("SELECT convert_from('\\xff', 'UTF8')", "wrong-type"),
    "22P05, a character of JSON": ("SELECT '\"\\u0000\"'::jsonb ->> 0", "wrong-type"),
    "54000, a key of an index": (
        "INSERT INTO idempotency_keys (caller, key, fingerprint, status, headers, body)"
        " SELECT string_agg(md5(n::text), ''), 'k', '', 200, '{}', ''"
        " FROM generate_series(1, 1000) n",
        "too-long",
    ),
}

# A creation with a key runs in the session, which the tests break.
KEY = {"Idempotency-Key": "a"}


@pytest.fixture
def creating(client, monkeypatch):
    """Return what runs a statement where an ingredient is created, and the answer to that."""

    def run(statement, values=None, **sent):
        def create(**_values):
            db.session.connection().exec_driver_sql(statement, values)

        monkeypatch.setattr(service, "create", create)
        # No document lists the problems of a statement that only this test runs.
        monkeypatch.setattr(problem_contract, "check", lambda *_: None)
        return client.post(URL, json={"name": "Mandrake"} | sent, headers=KEY)

    return run


@pytest.mark.parametrize(("statement", "code"), UNSTORABLE.values(), ids=UNSTORABLE)
def test_a_value_that_cannot_be_stored_is_422(creating, statement, code):
    make_ingredient()
    answer = creating(statement)
    assert (answer.status_code, answer.json["code"]) == (422, code)
    assert answer.json["detail"].startswith("A ")


def test_nul_is_422_though_the_driver_finds_it(creating):
    answer = creating("SELECT %s::text", ("a\0b",))
    assert (answer.status_code, answer.json["code"]) == (422, "wrong-type")


# Every class that tells of contention, interruption, or want; and what is nobody's but ours.
STATES = {
    **dict.fromkeys(["40001", "40P01", "40003", "55P03"], 503),
    **dict.fromkeys(["57014", "57P01", "57P02", "57P03", "57P04", "57P05"], 503),
    **dict.fromkeys(["53000", "53100", "53200", "53300", "53400", "58000", "58030"], 503),
    **dict.fromkeys(["08000", "08001", "08003", "08004", "08006", "08007", "08P01"], 503),
    **dict.fromkeys(["25006", "25P03", "25P04"], 503),
    **dict.fromkeys(["25P02", "25001", "0A000", "42P01", "42703", "55000", "P0001"], 500),
    **dict.fromkeys(["23502", "23503", "23505", "23514", "23P01", "23001"], 500),
    **dict.fromkeys(["XX000", "XX001", "F0000", "72000", "28000", "3D000"], 500),
    **dict.fromkeys(["22000", "22023", "54000"], 422),
}


@pytest.mark.parametrize(("state", "status"), STATES.items())
def test_an_sqlstate_is_an_api_error_or_a_bug(app, creating, monkeypatch, state, status):
    """Where a constraint is broken that nobody has named, it is a defect."""
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    raising = f"RAISE EXCEPTION USING ERRCODE = '{state}', MESSAGE = 'swordfish'"
    answer = creating(f"DO $$ BEGIN {raising}; END $$")
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert ("Retry-After" in answer.headers) is (status == 503)
    assert "swordfish" not in answer.text


def test_a_statement_in_a_failed_transaction_is_a_defect(app, client, monkeypatch):
    """25P02, for real: somebody went on after an error."""

    def create(**_values):
        driver = db.session.connection().connection.cursor()
        for statement in ("SELECT 1 / 0", "SELECT 1"):
            try:
                driver.execute(statement)
            except Exception:
                if statement == "SELECT 1":
                    raise

    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    monkeypatch.setattr(service, "create", create)
    assert client.post(URL, json={"name": "Mandrake"}, headers=KEY).status_code == 500


NULL = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '23502', COLUMN = '{}'; END $$"


def test_a_null_that_was_sent_is_422_with_its_pointer(creating):
    answer = creating(NULL.format("description"), description=None)
    assert (answer.status_code, answer.json["code"]) == (422, "not-nullable")
    assert [entry["pointer"] for entry in answer.json["errors"]] == ["#/description"]


@pytest.mark.parametrize("column", ["name", "version"])
def test_a_null_that_the_client_did_not_send_is_a_bug(app, creating, monkeypatch, column):
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    assert creating(NULL.format(column)).status_code == 500


def test_a_delete_names_some_of_those_that_refer_to_the_row(client):
    ingredient = make_ingredient()
    potions = {str(make_potion(ingredient).pk) for _ in range(12)}
    answer = client.delete(f"{URL}/{ingredient.pk}", headers=ANY)
    assert (answer.status_code, answer.json["code"]) == (409, "in-use")
    named = [entry["detail"] for entry in answer.json["errors"]]
    assert len(named) == 10
    assert all(any(pk in detail for pk in potions) for detail in named)
    assert client.get(f"{URL}/{ingredient.pk}").status_code == 200


# Characters of four bytes that nothing compresses, as many as fit.
RARE = "".join(chr(0x20000 + (7919 * n) % 0xA000) for n in range(2000))
LONG = {
    "ingredients": {"name": RARE[:127], "description": RARE},
    "heroes": {"nickname": RARE[:255]},
    "users": {"email": f"{RARE[:50]}@alchemist.example", "full_name": RARE[:255]},
}


@pytest.mark.parametrize(("kind", "sent"), LONG.items())
def test_the_longest_texts_fit_into_their_indexes(client, kind, sent):
    answer = client.post(f"/api/v2/{kind}", json=sent)
    assert answer.status_code == 201, answer.json
    assert {name: answer.json[name] for name in sent} == sent


def test_a_migration_under_prepared_statements_costs_no_request(
    make_committing_app, fresh_database, monkeypatch
):
    """Plans are for a type of result; each connection has its own, of each statement."""
    monkeypatch.setattr(auth, "TOKEN_CACHE_TTL", 0)
    client = make_committing_app(open_access=False).test_client()
    headers = sign_in(make_user(role="admin"))
    db.session.commit()
    url = client.post(URL, json={"name": "Mandrake"}, headers=headers).headers["Location"]

    def statuses():
        for _ in range(10):
            yield client.get("/api/v2/me", headers=headers).status_code
            yield client.patch(url, json={"name": "Sage"}, headers=headers | ANY).status_code

    assert set(statuses()) == {200}
    with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
        connection.execute(text("ALTER TABLE users ALTER role TYPE text"))
        connection.execute(text("ALTER TABLE ingredients ALTER name TYPE text"))
    assert set(statuses()) == {200}
