"""A dry run of any operation that writes: the answer of the real request, and no trace of it."""

import json
import re

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.api.rate_limits import COUPON_MISSES, RateLimiter
from alchemist.cli import sample_data
from tests.docs.documents import OPERATION_IDS, example_request, operations
from tests.domains.users import database_dump
from tests.factories import bearer, make_coupon, make_user

# What two answers to one request differ in: keys and times of new rows, ids, and hashes of these.
CHANGING_HEADERS = {"Dry-Run", "Location", "ETag", "X-Request-ID"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
SECRET = re.compile(r'"token": ?"[^"]*"')
INGREDIENTS = "/api/v2/ingredients"
DEFERRED = """
    CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION USING ERRCODE = '23505', CONSTRAINT = 'users_email_folded_key'; END $$;
    CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION pg_temp.fail()
"""


@pytest.fixture
def shop(client):
    sample_data.insert_missing(db.session.connection())
    db.session.commit()
    return client


def dump():
    return sorted(database_dump.rows(db.session.connection()))


def comparable(response, known):
    """Return status, headers and body, without what differs from one request to the next."""
    body = response.get_data(as_text=True)
    for key in set(UUID.findall(body)) - known:
        body = body.replace(key, "new")
    body = SECRET.sub("secret", INSTANT.sub("instant", body))
    headers = {n: v for n, v in response.headers if n not in CHANGING_HEADERS}
    headers.pop("Content-Length", None)
    return response.status_code, headers, body.replace(response.headers["X-Request-ID"], "id")


def writing_operations(client):
    document = client.get("/api/v2/openapi.json").json
    for path, method, operation in operations(document):
        if method != "get":
            parameters = [each for each in operation["parameters"] if "$ref" not in each]
            yield operation | {"path": path, "method": method, "parameters": parameters}


def example(client, operation_id):
    """Return the request that the document shows for an operation."""
    [operation] = [
        each for each in writing_operations(client) if each["operationId"] == operation_id
    ]
    request = example_request(operation)
    if any(each["name"] == "If-Match" for each in operation["parameters"]):
        request["headers"]["If-Match"] = "*"
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        request |= {"data": json.dumps(content["example"]), "content_type": media_type}
    return request


WRITING = [name for name in OPERATION_IDS["v2"] if not name.startswith(("get", "list"))]


def test_every_operation_that_writes_is_compared(client):
    assert {each["operationId"] for each in writing_operations(client)} == set(WRITING)


def test_every_operation_that_writes_documents_its_dry_run(client):
    document = client.get("/api/v2/openapi.json").json
    for path, method, operation in operations(document):
        refs = {each.get("$ref") for each in operation["parameters"]}
        assert ("#/components/parameters/dry_run" in refs) == (method != "get"), path


@pytest.mark.parametrize("operation_id", WRITING)
def test_a_dry_run_answers_as_the_request_and_writes_nothing(shop, operation_id):
    request = example(shop, operation_id)
    before = dump()
    known = set(UUID.findall("\n".join(before)))
    malformed = shop.open(**request | {"query_string": "dry_run=yes"})
    assert (malformed.status_code, malformed.json["code"]) == (422, "not-one-of")
    assert malformed.json["errors"][0]["parameter"] == "dry_run"
    dry = shop.open(**request | {"query_string": "dry_run=true"})
    assert dump() == before
    real = shop.open(**request)
    assert 200 <= real.status_code < 300, real.text
    assert comparable(dry, known) == comparable(real, known)
    assert (dry.headers["Dry-Run"], dry.headers.get("Location")) == ("true", None)
    assert "Dry-Run" not in real.headers
    # A quote writes nothing, and the user of the example is not suspended.
    assert (dump() != before) == (operation_id not in ("quoteOrder", "reinstateUser"))


def test_a_dry_run_has_the_errors_of_the_request(client):
    ids = {"name": "", "colour": "red"}
    dry = client.post(f"{INGREDIENTS}?dry_run=true", json=ids)
    real = client.post(INGREDIENTS, json=ids)
    assert (dry.status_code, dry.json["errors"]) == (422, real.json["errors"])
    assert dry.headers["Dry-Run"] == "true"


def test_a_dry_run_finds_conflicts(client):
    user = {"email": "ada@example.org", "full_name": "Ada"}
    assert client.post("/api/v2/users?dry_run=true", json=user).status_code == 201
    assert client.post("/api/v2/users", json=user).status_code == 201
    assert client.post("/api/v2/users?dry_run=true", json=user).json["code"] == "already-exists"


def test_a_dry_run_finds_what_fails_at_the_commit(client):
    db.session.connection().exec_driver_sql(DEFERRED)
    db.session.commit()
    user = {"email": "ada@example.org", "full_name": "Ada"}
    response = client.post("/api/v2/users?dry_run=true", json=user)
    assert (response.status_code, response.json["code"]) == (409, "already-exists")


def test_a_dry_run_is_false_unless_it_is_true(client):
    assert client.post(f"{INGREDIENTS}?dry_run=false", json={"name": "Rue"}).location
    assert [row["name"] for row in client.get(INGREDIENTS).json] == ["Rue"]


@pytest.mark.parametrize(
    "query", ["dry_run=true&dry_run=true", "dry_run=true&dry_run=false", "dry_run=true&x=1"]
)
def test_a_dry_run_is_as_strict_with_its_query(client, query):
    assert client.post(f"{INGREDIENTS}?{query}", json={"name": "Rue"}).status_code == 422
    assert client.get(INGREDIENTS).json == []


def test_a_read_has_no_dry_run(client):
    for path in (INGREDIENTS, "/api/v2/me", "/api/v2/changes"):
        response = client.get(f"{path}?dry_run=true")
        assert (response.status_code, response.json["code"]) == (422, "unknown-parameter")


def test_version_1_has_no_dry_run(client):
    response = client.post("/api/v1/ingredients?dry_run=true", json={"name": "Rue"})
    assert response.status_code == 201
    assert "Dry-Run" not in response.headers
    assert client.get(INGREDIENTS).json[0]["pk"] == response.json["pk"]


def test_a_dry_run_stores_no_key(client):
    headers = {"Idempotency-Key": "one"}
    dry = client.post(f"{INGREDIENTS}?dry_run=true", json={"name": "Rue"}, headers=headers)
    first = client.post(INGREDIENTS, json={"name": "Rue"}, headers=headers)
    assert (dry.status_code, first.status_code) == (201, 201)
    assert "Idempotent-Replayed" not in first.headers
    bad = client.post(
        f"{INGREDIENTS}?dry_run=true", json={"name": "Rue"}, headers={"Idempotency-Key": "ä"}
    )
    assert bad.status_code == 400


@pytest.mark.parametrize("query", ["dry_run=true", "dry_run=true&"])
def test_a_dry_run_with_a_used_key_answers_as_the_request(client, query):
    headers, user = {"Idempotency-Key": "one"}, {"email": "ada@example.org", "full_name": "Ada"}
    first = client.post("/api/v2/users", json=user, headers=headers)
    before = dump()
    again = client.post(f"/api/v2/users?{query}", json=user, headers=headers)
    assert (again.status_code, again.json) == (201, first.json)
    assert (again.headers["Idempotent-Replayed"], again.headers["Dry-Run"]) == ("true", "true")
    other = client.post(f"/api/v2/users?{query}", json=user | {"full_name": "Bea"}, headers=headers)
    assert (other.status_code, other.json["code"]) == (422, "idempotency-key-reused")
    assert dump() == before


def test_a_dry_run_of_a_token_has_no_secret_that_works(client):
    user = make_user(role="admin")
    path = f"/api/v2/users/{user.pk}/tokens"
    dry = client.post(f"{path}?dry_run=true", json={"label": "Till"})
    assert (dry.status_code, dry.json["token"]) == (201, "dry-run")
    assert client.get("/api/v2/me", headers=bearer(dry.json["token"])).status_code == 401


def test_a_dry_run_with_a_stale_tag_has_the_current_row(client):
    path = client.post(INGREDIENTS, json={"name": "Rue"}).location
    response = client.patch(
        f"{path}?dry_run=true", json={"name": "Sage"}, headers={"If-Match": '"old"'}
    )
    assert (response.status_code, response.json["current"]["name"]) == (412, "Rue")


def test_a_dry_run_does_not_let_one_guess_coupons(app, client, monkeypatch):
    monkeypatch.setitem(app.extensions, "rate_limiter", RateLimiter({COUPON_MISSES: 1}))
    make_coupon(code="MAY")
    db.session.commit()
    order = {"items": [{"product_id": "0" * 32, "quantity": 1}], "coupon_code": "JUNE"}
    path = "/api/v2/orders?dry_run=true"
    assert client.post(path, json=order).status_code == 422
    assert client.post(path, json=order).status_code == 429


def test_a_dry_run_is_marked_in_the_log(client, caplog):
    caplog.set_level("INFO", "alchemist.requests")
    client.post(f"{INGREDIENTS}?dry_run=true", json={"name": "Rue"})
    client.post(INGREDIENTS, json={"name": "Rue"})
    marks = [record.fields.get("dry_run") for record in caplog.records]
    assert marks[-2:] == [True, None]


def test_a_dry_run_ends_its_transaction(client):
    client.post(f"{INGREDIENTS}?dry_run=true", json={"name": "Rue"})
    assert not db.session.registry.has() or not db.session.in_transaction()
    assert db.session.scalar(text("SELECT count(*) FROM audit_log")) == 0
