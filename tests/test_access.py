"""Who may do what: every operation of both documents, asked by everybody."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from sqlalchemy import URL, NullPool, create_engine, text
from sqlalchemy.exc import ProgrammingError

from alchemist import database as db
from alchemist.cli import main
from alchemist.domains.coupons import service as coupons
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.orders import service as orders
from alchemist.domains.orders.models import Order
from alchemist.domains.products.models import Product
from alchemist.domains.users import service
from alchemist.domains.users.permissions import ADMIN
from tests.conftest import Client
from tests.factories import (
    make_coupon,
    make_hero,
    make_ingredient,
    make_order,
    make_potion,
    make_product,
    make_store,
    make_token,
    make_user,
    sign_in,
)

CALLERS = ("anonymous", "stranger", "owner", "merchant", "admin", "narrowed")
ANYBODY = "200 200 200 200 200 200"
KNOWN = "401 200 200 200 200 200"
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

# The statuses that CALLERS get, in their order. Heroes, tokens, orders and redemptions
# are the owner's; the store, and what is sold there, is the merchant's. The narrowed one is an
# admin whose token permits `me:read` alone. Whoever sends an expired or a revoked token gets 401
# everywhere.
TABLE = {
    "GET /api/v2/ingredients": ANYBODY,
    "POST /api/v2/ingredients": ADMINS[201],
    "GET /api/v2/ingredients/{pk}": ANYBODY,
    "PATCH /api/v2/ingredients/{pk}": ADMINS[200],
    "DELETE /api/v2/ingredients/{pk}": ADMINS[204],
    "GET /api/v2/potions": ANYBODY,
    "POST /api/v2/potions": ADMINS[201],
    "GET /api/v2/potions/{pk}": ANYBODY,
    "PATCH /api/v2/potions/{pk}": ADMINS[200],
    "DELETE /api/v2/potions/{pk}": ADMINS[204],
    "GET /api/v2/users": "401 200 200 200 200 403",
    "POST /api/v2/users": ADMINS[201],
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
    "GET /api/v2/me": KNOWN,
    "GET /api/v2/heroes": ANYBODY,
    "POST /api/v2/heroes": "401 201 201 201 201 403",
    "GET /api/v2/heroes/{pk}": ANYBODY,
    "PATCH /api/v2/heroes/{pk}": OWNERS[200],
    "DELETE /api/v2/heroes/{pk}": OWNERS[204],
    "GET /api/v2/audit": ADMINS[200],
    "GET /api/v2/audit/{pk}": ADMINS[200],
    "GET /api/v2/changes": ADMINS[200],
    "GET /api/v2/stores": ANYBODY,
    "POST /api/v2/stores": SELLERS[201],
    "GET /api/v2/stores/{pk}": ANYBODY,
    "PATCH /api/v2/stores/{pk}": SELLERS[200],
    "DELETE /api/v2/stores/{pk}": SELLERS[204],
    "GET /api/v2/products": ANYBODY,
    "POST /api/v2/products": SELLERS[201],
    "GET /api/v2/products/{pk}": ANYBODY,
    "PATCH /api/v2/products/{pk}": SELLERS[200],
    "DELETE /api/v2/products/{pk}": SELLERS[204],
    "POST /api/v2/products/{pk}/restock": SELLERS[200],
    "GET /api/v2/coupons": ADMINS[200],
    "POST /api/v2/coupons": ADMINS[201],
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
    "GET /api/v1/": ANYBODY,
    "GET /api/v1/ingredients": ANYBODY,
    "POST /api/v1/ingredients": ADMINS[201],
    "GET /api/v1/ingredients/{pk}": ANYBODY,
    "GET /api/v1/potions": ANYBODY,
    "POST /api/v1/potions": ADMINS[201],
    "GET /api/v1/potions/{pk}": ANYBODY,
    "GET /api/v1/user/get-users": "401 200 200 200 200 403",
    "GET /api/v1/user/get-user": HIDDEN[200],
    "POST /api/v1/user/create-user": ADMINS[200],
    "POST /api/v1/heroes": "401 201 201 201 201 403",
    "GET /api/v1/heroes/{pk}": ANYBODY,
    "PATCH /api/v1/heroes/{pk}": OWNERS[200],
    "DELETE /api/v1/heroes/{pk}": OWNERS[200],
    "GET /api/v1/health": ANYBODY,
    "GET /api/v1/stores/": ANYBODY,
    "POST /api/v1/stores/": "401 403 403 201 201 403",
    "GET /api/v1/stores/{pk}": ANYBODY,
    "PATCH /api/v1/stores/{pk}": "401 403 403 204 204 403",
    "DELETE /api/v1/stores/{pk}": "401 403 403 204 204 403",
    "GET /api/v1/products/": ANYBODY,
    "POST /api/v1/products/": "401 403 403 201 201 403",
    "GET /api/v1/products/{pk}": ANYBODY,
    "PATCH /api/v1/products/{pk}": "401 403 403 204 204 403",
    "DELETE /api/v1/products/{pk}": "401 403 403 204 204 403",
    "POST /api/v1/coupons/": ADMINS[201],
    "GET /api/v1/coupons/{pk}": ADMINS[200],
    "GET /api/v1/orders/": "401 200 200 200 200 403",
    "POST /api/v1/orders/": "401 201 201 201 201 403",
    "GET /api/v1/orders/{pk}": "401 404 200 200 200 403",
}


def operations(app: Any) -> set[str]:
    apis = app.extensions["flask-smorest"]["apis"].values()
    return {
        f"{method.upper()} {path}"
        for api in apis
        for path, item in api["ext_obj"].spec.to_dict()["paths"].items()
        for method in item
        if method != "parameters"
    }


def test_every_operation_stands_in_the_table(app):
    difference = operations(app) ^ set(TABLE)
    assert not difference, (
        f"{sorted(difference)}: add to or remove from TABLE, and give a new resource a row in "
        "`makers` and, for POST and PATCH, a body in `body_of`."
    )


@pytest.fixture
def actors(transaction) -> SimpleNamespace:
    return make_actors()


def make_actors() -> SimpleNamespace:
    """Return everybody, and a coupon that the owner may redeem."""
    owner, admin = make_user(), make_user(role="admin")
    merchant = make_user(role="merchant")
    secrets = {"anonymous": None}
    for name, user in {
        "stranger": make_user(),
        "owner": owner,
        "merchant": merchant,
        "admin": admin,
    }.items():
        secrets[name] = make_token(user)
    secrets["narrowed"] = service.issue(admin, ADMIN, label="n", permissions=["me:read"])[1]
    secrets["expired"] = service.issue(
        admin, ADMIN, label="e", expires_at=datetime.now(UTC) - timedelta(seconds=1)
    )[1]
    revoked, secrets["revoked"] = service.issue(admin, ADMIN, label="r")
    service.revoke(revoked)
    return SimpleNamespace(owner=owner, merchant=merchant, coupon=make_coupon(), secrets=secrets)


def ask(client: Any, actors: SimpleNamespace, operation: str, who: str) -> Any:
    """Send a valid request of the operation, aimed at what belongs to the owner."""
    method, path = operation.split()
    secret = actors.secrets[who]
    headers = {"If-Match": "*"} | ({"Authorization": f"Bearer {secret}"} if secret else {})
    query = f"?id={actors.owner.pk}" if path.endswith("get-user") else ""
    keys = {"user_id": actors.owner.pk, "coupon_id": actors.coupon.pk}
    url = path.format(pk=row_of(client, path, actors), **keys) + query
    return client.open(url, method=method, json=body_of(method, path, actors), headers=headers)


def row_of(client: Any, path: str, actors: SimpleNamespace) -> UUID | None:
    if "{pk}" not in path:
        return None
    if path.endswith("/tokens/{pk}"):
        return service.issue(actors.owner, ADMIN, label="asked for")[0].pk
    if "/users/" in path:
        suspended = make_user(suspended_at=datetime.now(UTC))
        # Without rows that would keep the owner from being deleted.
        return (suspended if path.endswith("/reinstate") else actors.owner).pk
    if "/audit/" in path:
        return entry_of(make_ingredient())
    if path.endswith("/redemptions/{pk}"):
        return coupons.redeem(actors.coupon, actors.owner.pk).pk
    makers = {
        "ingredients": make_ingredient,
        "potions": make_potion,
        "coupons": make_coupon,
        "stores": lambda: make_store(owner_id=actors.merchant.pk),
        "products": lambda: product_of(actors),
        "orders": lambda: order_of(actors, path),
        "heroes": lambda: make_hero(user_id=actors.owner.pk),
    }
    return makers[path.split("/")[3]]().pk


def product_of(actors: SimpleNamespace) -> Product:
    return make_product(make_store(owner_id=actors.merchant.pk), stock=5)


def order_of(actors: SimpleNamespace, path: str) -> Order:
    order = make_order(product_of(actors), user=actors.owner)
    if path.endswith("/fulfil"):
        orders.pay(order)
    return order


def entry_of(ingredient: Ingredient) -> UUID:
    statement = text("SELECT pk FROM audit_log WHERE resource_pk = :pk")
    return db.session.scalar(statement, {"pk": ingredient.pk})


CHANGES = {
    "users": {"full_name": "Changed"},
    "heroes": {"nickname": "Changed"},
    "coupons": {"percent_off": 5},
}
WITHOUT_BODY = (
    "/anonymise",
    "/suspend",
    "/reinstate",
    "/revoke",
    "/redemptions",
    "/pay",
    "/fulfil",
    "/cancel",
)


def body_of(method: str, path: str, actors: SimpleNamespace) -> Any:
    if method in ("GET", "DELETE") or path.endswith(WITHOUT_BODY):
        return None
    if method == "PATCH":
        return CHANGES.get(path.split("/")[3], {"name": "Changed"})
    kind = path.rstrip("/").rpartition("/")[2]
    user = {"email": "new@alchemist.example", "full_name": "New"}
    address = dict.fromkeys(("name", "street", "zipcode", "city", "country"), "New")
    if kind == "products":
        store = make_store(owner_id=actors.merchant.pk)
        return {"name": "New", "price": "1.00", "store_id": str(store.pk)}
    if kind in ("orders", "quote"):
        return {"items": [{"product_id": str(product_of(actors).pk), "quantity": 1}]}
    return {
        "ingredients": {"name": "New"},
        "potions": {"name": "New", "ingredients": [str(make_ingredient().pk)]},
        "heroes": {"nickname": "New"},
        "users": user,
        "create-user": user,
        "tokens": {"label": "New", "permissions": ["me:read"]},
        "stores": address | {"currency": "EUR"},
        "restock": {"quantity": 1},
        "coupons": {"code": "New", "init_count": 1},
    }[kind]


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("operation", TABLE)
def test_everybody_gets_what_the_table_says(client_with_auth, actors, operation, who):
    expected = int(TABLE[operation].split()[CALLERS.index(who)])
    answer = ask(client_with_auth, actors, operation, who)
    assert answer.status_code == expected, answer.text
    if expected == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    if expected == 403:
        assert answer.json["errors"][0]["permission"] in ADMIN


@pytest.mark.parametrize("who", ["expired", "revoked"])
@pytest.mark.parametrize("operation", TABLE)
def test_a_token_that_is_no_longer_good_is_refused_everywhere(
    client_with_auth, actors, operation, who
):
    assert ask(client_with_auth, actors, operation, who).status_code == 401


@pytest.mark.parametrize("operation", TABLE)
def test_what_writes_is_told_by_the_audit_log_and_nothing_else_is(
    client_with_auth, actors, operation
):
    request_id = ask(client_with_auth, actors, operation, "admin").headers["X-Request-ID"]
    told = text("SELECT count(*) FROM audit_log WHERE request_id = :id AND user_id IS NOT NULL")
    writes = not operation.startswith("GET ") and not operation.endswith("/quote")
    assert bool(db.session.scalar(told, {"id": request_id})) == writes


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
        response = ask(restricted_client, make_actors(), operation, "admin")
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
