"""The access of each kind of caller to every operation of both versions."""

from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from sqlalchemy import URL, NullPool, create_engine, text
from sqlalchemy.exc import ProgrammingError

from alchemist import database as db
from alchemist.cli import main
from alchemist.domains.users.permissions import ADMIN
from tests.access_requests import Actors, request_body, request_path
from tests.completeness import assert_complete
from tests.conftest import Client
from tests.factories import make_user, sign_in

CALLERS = ("anonymous", "stranger", "owner", "merchant", "admin", "narrowed")
PUBLIC = "200 200 200 200 200 200"
SIGNED_IN = "401 200 200 200 200 200"
ADMINS = {
    200: "401 403 403 403 200 403",
    201: "401 403 403 403 201 403",
    204: "401 403 403 403 204 403",
}
HIDDEN = {
    200: "401 404 200 404 200 403",
    201: "401 404 201 404 201 403",
    204: "401 404 204 404 204 403",
}
# The row is public, so to change another's is 403.
OWNERS = {
    200: "401 403 200 403 200 403",
    204: "401 403 204 403 204 403",
}
SELLERS = {
    200: "401 403 403 200 200 403",
    201: "401 403 403 201 201 403",
    204: "401 403 403 204 204 403",
}

# The status that each of CALLERS gets, in their order. Heroes, tokens, orders and redemptions
# belong to the owner; the store, and its products, to the merchant. The token of "narrowed" is an
# admin's, and permits only `me:read`. Expired and revoked tokens get 401 everywhere.
TABLE = {
    "GET /api/v2/ingredients": PUBLIC,
    "POST /api/v2/ingredients": ADMINS[201],
    "POST /api/v2/ingredients/batch": ADMINS[201],
    "GET /api/v2/ingredients/{pk}": PUBLIC,
    "PATCH /api/v2/ingredients/{pk}": ADMINS[200],
    "DELETE /api/v2/ingredients/{pk}": ADMINS[204],
    "GET /api/v2/potions": PUBLIC,
    "POST /api/v2/potions": ADMINS[201],
    "POST /api/v2/potions/batch": ADMINS[201],
    "GET /api/v2/potions/{pk}": PUBLIC,
    "PATCH /api/v2/potions/{pk}": ADMINS[200],
    "DELETE /api/v2/potions/{pk}": ADMINS[204],
    "GET /api/v2/users": "401 200 200 200 200 403",
    "POST /api/v2/users": ADMINS[201],
    "POST /api/v2/users/batch": ADMINS[201],
    "GET /api/v2/users/{pk}": HIDDEN[200],
    "PATCH /api/v2/users/{pk}": ADMINS[200],
    "DELETE /api/v2/users/{pk}": ADMINS[204],
    "POST /api/v2/users/{pk}/anonymise": ADMINS[200],
    "POST /api/v2/users/{pk}/suspend": ADMINS[200],
    "POST /api/v2/users/{pk}/reinstate": ADMINS[200],
    "GET /api/v2/users/{user_id}/tokens": HIDDEN[200],
    "POST /api/v2/users/{user_id}/tokens": HIDDEN[201],
    "GET /api/v2/users/{user_id}/tokens/{pk}": HIDDEN[200],
    "DELETE /api/v2/users/{user_id}/tokens/{pk}": HIDDEN[204],
    "POST /api/v2/users/{user_id}/tokens/revoke": HIDDEN[200],
    "GET /api/v2/me": SIGNED_IN,
    "GET /api/v2/heroes": PUBLIC,
    "POST /api/v2/heroes": "401 201 201 201 201 403",
    "POST /api/v2/heroes/batch": "401 201 201 201 201 403",
    "GET /api/v2/heroes/{pk}": PUBLIC,
    "PATCH /api/v2/heroes/{pk}": OWNERS[200],
    "DELETE /api/v2/heroes/{pk}": OWNERS[204],
    "GET /api/v2/audit": ADMINS[200],
    "GET /api/v2/audit/{pk}": ADMINS[200],
    "GET /api/v2/changes": ADMINS[200],
    "GET /api/v2/idempotency-keys/{key}": "401 404 200 404 404 404",
    "GET /api/v2/stores": PUBLIC,
    "POST /api/v2/stores": SELLERS[201],
    "POST /api/v2/stores/batch": SELLERS[201],
    "GET /api/v2/stores/{pk}": PUBLIC,
    "PATCH /api/v2/stores/{pk}": SELLERS[200],
    "DELETE /api/v2/stores/{pk}": SELLERS[204],
    "GET /api/v2/products": PUBLIC,
    "POST /api/v2/products": SELLERS[201],
    "POST /api/v2/products/batch": SELLERS[201],
    "GET /api/v2/products/{pk}": PUBLIC,
    "PATCH /api/v2/products/{pk}": SELLERS[200],
    "DELETE /api/v2/products/{pk}": SELLERS[204],
    "POST /api/v2/products/{pk}/restock": SELLERS[200],
    "GET /api/v2/coupons": ADMINS[200],
    "POST /api/v2/coupons": ADMINS[201],
    "POST /api/v2/coupons/batch": ADMINS[201],
    "GET /api/v2/coupons/{pk}": ADMINS[200],
    "PATCH /api/v2/coupons/{pk}": ADMINS[200],
    "DELETE /api/v2/coupons/{pk}": ADMINS[204],
    "GET /api/v2/coupons/{coupon_id}/redemptions": "401 200 200 200 200 403",
    "POST /api/v2/coupons/{coupon_id}/redemptions": "401 201 201 201 201 403",
    "GET /api/v2/coupons/{coupon_id}/redemptions/{pk}": HIDDEN[200],
    "GET /api/v2/orders": "401 200 200 200 200 403",
    "POST /api/v2/orders": "401 201 201 201 201 403",
    "POST /api/v2/orders/quote": "401 200 200 200 200 403",
    "GET /api/v2/orders/{pk}": "401 404 200 200 200 403",
    "POST /api/v2/orders/{pk}/pay": "401 404 200 403 200 403",
    "POST /api/v2/orders/{pk}/fulfil": SELLERS[200],
    "POST /api/v2/orders/{pk}/cancel": "401 404 200 403 200 403",
    "GET /api/v1/": PUBLIC,
    "GET /api/v1/ingredients": PUBLIC,
    "POST /api/v1/ingredients": ADMINS[201],
    "GET /api/v1/ingredients/{pk}": PUBLIC,
    "GET /api/v1/potions": PUBLIC,
    "POST /api/v1/potions": ADMINS[201],
    "GET /api/v1/potions/{pk}": PUBLIC,
    "GET /api/v1/user/get-users": "401 200 200 200 200 403",
    "GET /api/v1/user/get-user": HIDDEN[200],
    "POST /api/v1/user/create-user": ADMINS[200],
    "POST /api/v1/heroes": "401 201 201 201 201 403",
    "GET /api/v1/heroes/{pk}": PUBLIC,
    "PATCH /api/v1/heroes/{pk}": OWNERS[200],
    "DELETE /api/v1/heroes/{pk}": OWNERS[200],
    "GET /api/v1/health": PUBLIC,
    "GET /api/v1/stores/": PUBLIC,
    "POST /api/v1/stores/": "401 403 403 201 201 403",
    "GET /api/v1/stores/{pk}": PUBLIC,
    "PATCH /api/v1/stores/{pk}": "401 403 403 204 204 403",
    "DELETE /api/v1/stores/{pk}": "401 403 403 204 204 403",
    "GET /api/v1/products/": PUBLIC,
    "POST /api/v1/products/": "401 403 403 201 201 403",
    "GET /api/v1/products/{pk}": PUBLIC,
    "PATCH /api/v1/products/{pk}": "401 403 403 204 204 403",
    "DELETE /api/v1/products/{pk}": "401 403 403 204 204 403",
    "POST /api/v1/coupons/": ADMINS[201],
    "GET /api/v1/coupons/{pk}": ADMINS[200],
    "GET /api/v1/orders/": "401 200 200 200 200 403",
    "POST /api/v1/orders/": "401 201 201 201 201 403",
    "GET /api/v1/orders/{pk}": "401 404 200 200 200 403",
}


@pytest.fixture
def actors(transaction: None) -> Actors:
    return Actors()


@pytest.fixture
def send(client_with_auth, actors):
    """Return a function that sends a valid request for rows of the owner or of the merchant."""
    return partial(send_request, client_with_auth, actors)


def send_request(client: Any, actors: Actors, operation: str, caller: str) -> Any:
    method, path = operation.split()
    version = client.application.extensions["versions"][path.split("/")[2]]
    return client.open(
        request_path(path, actors),
        method=method,
        json=request_body(method, path, version.document, actors),
        headers={"If-Match": "*"} | actors.authorization(caller),
    )


def test_every_operation_is_in_the_table(app):
    operations = {
        f"{method.upper()} {path}"
        for version in app.extensions["versions"].values()
        for path, path_item in version.document["paths"].items()
        for method in path_item
        if method != "head"
    }
    assert_complete(TABLE, operations, "TABLE", "tests/test_access.py")


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("operation", TABLE)
def test_each_caller_gets_the_status_of_the_table(send, operation, caller):
    expected = int(TABLE[operation].split()[CALLERS.index(caller)])
    response = send(operation, caller)
    assert response.status_code == expected, (
        f"{response.text}\nThe request is made in tests/access_requests.py."
    )
    if expected == 401:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    if expected == 403:
        assert response.json["errors"][0]["permission"] in ADMIN


@pytest.mark.parametrize("caller", ["expired", "revoked"])
@pytest.mark.parametrize("operation", TABLE)
def test_an_expired_or_revoked_token_is_401_everywhere(send, operation, caller):
    assert send(operation, caller).status_code == 401


@pytest.mark.parametrize("operation", TABLE)
def test_exactly_the_writing_operations_are_in_the_audit_log(send, operation):
    request_id = send(operation, "admin").headers["X-Request-ID"]
    entries = "SELECT count(*) FROM audit_log WHERE request_id = :id AND user_id IS NOT NULL"
    writes = not operation.startswith("GET ") and not operation.endswith("/quote")
    assert bool(db.session.scalar(text(entries), {"id": request_id})) == writes


@pytest.fixture
def restricted_url(fresh_database, monkeypatch) -> Iterator[URL]:
    """The URL of the database for a role that `alchemist grant` has made."""
    role, password = f"alchemist_test_{uuid4().hex}", "a 'secret'"
    monkeypatch.setenv("DATABASE_URL", fresh_database.render_as_string(hide_password=False))
    result = CliRunner().invoke(main, ["grant", role, "--password", password])
    assert result.exit_code == 0, result.output
    yield fresh_database.set(username=role, password=password)
    with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))


@pytest.fixture
def restricted_client(make_committing_app, restricted_url) -> Client:
    """The client of an app whose database role may only do what the service needs."""
    app = make_committing_app(database_url=restricted_url, open_access=False)
    app.test_client_class = Client
    return app.test_client()


def test_the_restricted_role_may_do_what_every_operation_needs(restricted_client, fresh_database):
    for operation, statuses in TABLE.items():
        response = send_request(restricted_client, Actors(), operation, "admin")
        expected = int(statuses.split()[CALLERS.index("admin")])
        assert response.status_code == expected, f"{operation}: {response.text}"
        db.session.remove()
        # Some names must be unique.
        with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
            connection.execute(text("TRUNCATE users, coupons, ingredients, audit_log CASCADE"))


def test_the_restricted_role_may_use_idempotency_keys_and_is_ready(restricted_client):
    headers = sign_in(make_user(role="admin")) | {"Idempotency-Key": "one"}
    for _ in "ab":
        response = restricted_client.post("/api/v2/heroes", json={"nickname": "M"}, headers=headers)
        assert response.status_code == 201, response.text
    assert restricted_client.get("/readyz").status_code == 200


FORBIDDEN = [
    "UPDATE audit_log SET user_id = NULL",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "TRUNCATE tokens",
    "DELETE FROM alembic_version",
    "ALTER TABLE users ADD COLUMN password text",
    "DROP TABLE coupons",
    "CREATE TABLE mine ()",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_restricted_role_may_not(restricted_url, statement):
    engine = create_engine(restricted_url, poolclass=NullPool)
    with pytest.raises(ProgrammingError) as error, engine.begin() as connection:
        connection.execute(text(statement))
    assert error.value.orig.sqlstate == "42501"


def test_the_restricted_role_may_use_the_tables_of_later_migrations(fresh_database, restricted_url):
    with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE TABLE later (pk uuid)"))
    with create_engine(restricted_url, poolclass=NullPool).begin() as connection:
        connection.execute(text("INSERT INTO later VALUES (gen_random_uuid())"))
        connection.execute(text("UPDATE later SET pk = gen_random_uuid()"))
        connection.execute(text("DELETE FROM later"))
