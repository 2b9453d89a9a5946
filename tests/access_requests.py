"""Callers of every kind, and a valid request of each operation for their rows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from alchemist import database as db
from alchemist.api.stored_responses import IdempotencyKey
from alchemist.docs.example_values import Json, example_value
from alchemist.domains.coupons import service as coupons
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.orders import service as orders
from alchemist.domains.products.models import Product
from alchemist.domains.users import token_service
from alchemist.domains.users.models import User
from alchemist.domains.users.permissions import ADMIN
from tests.factories import (
    bearer,
    make_coupon,
    make_hero,
    make_ingredient,
    make_order,
    make_product,
    make_row,
    make_store,
    make_token,
    make_user,
)
from tests.resources import BATCHES, Bodies

# Merge patches of the resources that have no name.
PATCHES = {
    "users": {"full_name": "Changed"},
    "heroes": {"nickname": "Changed"},
    "coupons": {"percent_off": 5},
}

ADDRESS = dict.fromkeys(("name", "street", "zipcode", "city", "country"), "New")


class Actors:
    """The owner, the merchant, a coupon, and tokens: each is made when it is first needed."""

    @cached_property
    def owner(self) -> User:
        return make_user()

    @cached_property
    def merchant(self) -> User:
        return make_user(role="merchant")

    @cached_property
    def coupon(self) -> Coupon:
        return make_coupon()

    def authorization(self, caller: str) -> dict[str, str]:
        return {} if caller == "anonymous" else bearer(SECRETS[caller](self))

    def make_product(self) -> Product:
        return make_product(make_store(owner_id=self.merchant.pk), stock=5)


def _make_admin_token(**values: Any) -> str:
    named = {"label": "Test"} | values
    return token_service.issue_token(make_user(role="admin"), ADMIN, **named)[1]


def _make_expired_token(_actors: Actors) -> str:
    return _make_admin_token(expires_at=datetime.now(UTC) - timedelta(days=1))


def _make_revoked_token(_actors: Actors) -> str:
    token, secret = token_service.issue_token(make_user(role="admin"), ADMIN, label="revoked")
    token_service.revoke_token(token)
    return secret


# The secret of a token of each caller.
SECRETS: dict[str, Callable[[Actors], str]] = {
    "stranger": lambda _actors: make_token(make_user()),
    "owner": lambda actors: make_token(actors.owner),
    "merchant": lambda actors: make_token(actors.merchant),
    "admin": lambda _actors: make_token(make_user(role="admin")),
    "narrowed": lambda _actors: _make_admin_token(permissions=["me:read"]),
    "expired": _make_expired_token,
    "revoked": _make_revoked_token,
}


def request_path(path: str, actors: Actors) -> str:
    """Return the path with the keys of existing rows."""
    keys = {name: make(path, actors) for name, make in PATH_KEYS.items() if f"{{{name}}}" in path}
    query = f"?id={actors.owner.pk}" if path.endswith("/get-user") else ""
    return path.format(**keys) + query


def _store_response(actors: Actors) -> str:
    """Store a response to the owner, and return its idempotency key."""
    values = {"fingerprint": "", "status": 201, "headers": {}, "body": ""}
    row = IdempotencyKey(caller=str(actors.owner.pk), key=uuid4().hex, **values)
    db.insert(row)
    return row.key


def _make_row(path: str, actors: Actors) -> Any:
    """Return the key of a row of the resource that is before `{pk}` in the path."""
    resource = path.partition("/{pk}")[0].rpartition("/")[2]
    if path.endswith("/reinstate"):
        return make_user(suspended_at=datetime.now(UTC)).pk
    if resource == "orders":
        return _make_order(actors, is_paid=path.endswith("/fulfil"))
    if resource in ROWS:
        return ROWS[resource](actors)
    return make_row(resource).pk


def _make_order(actors: Actors, is_paid: bool) -> UUID:
    order = make_order(actors.make_product(), user=actors.owner)
    if is_paid:
        orders.pay(order)
    return order.pk


def _make_audit_entry(_actors: Actors) -> UUID:
    statement = text("SELECT pk FROM audit_log WHERE resource_pk = :pk")
    return db.session.scalars(statement, {"pk": make_ingredient().pk}).one()


# Keys of rows that belong to the owner or the merchant, or have no function in tests/factories.py.
ROWS: dict[str, Callable[[Actors], UUID]] = {
    "audit": _make_audit_entry,
    "heroes": lambda actors: make_hero(user_id=actors.owner.pk).pk,
    "products": lambda actors: actors.make_product().pk,
    "redemptions": lambda actors: coupons.redeem(actors.coupon, actors.owner.pk).pk,
    "stores": lambda actors: make_store(owner_id=actors.merchant.pk).pk,
    "tokens": lambda actors: (
        token_service.issue_token(actors.owner, ADMIN, label="requested")[0].pk
    ),
    # Rows of the owner would prevent a deletion.
    "users": lambda actors: actors.owner.pk,
}


def _owner_pk(path: str, actors: Actors) -> UUID:
    if path.endswith("/tokens/revoke"):
        make_token(actors.owner)
    return actors.owner.pk


PATH_KEYS: dict[str, Callable[[str, Actors], Any]] = {
    "user_id": _owner_pk,
    "coupon_id": lambda _path, actors: actors.coupon.pk,
    "pk": _make_row,
    "key": lambda _path, actors: _store_response(actors),
}


def request_body(method: str, path: str, document: Json, actors: Actors) -> Any:
    """Return a valid body, or None if the operation has none."""
    operation = document["paths"][path][method.lower()]
    if "requestBody" not in operation:
        return None
    if method == "PATCH":
        return PATCHES.get(path.split("/")[3], {"name": "Changed"})
    if path.endswith("/batch"):
        single = path.removesuffix("/batch")
        return [request_body(method, single, document, actors)]
    resource = path.rstrip("/").rpartition("/")[2]
    if resource in BODIES:
        return BODIES[resource](actors)
    if path == f"/api/v2/{resource}" and resource in BATCHES:
        return Bodies().one(resource, 0)
    [content, *_] = operation["requestBody"]["content"].values()
    return example_value(content["schema"], document)


def _order(actors: Actors) -> Json:
    return {"items": [{"product_id": str(actors.make_product().pk), "quantity": 1}]}


def _product(actors: Actors) -> Json:
    store = make_store(owner_id=actors.merchant.pk)
    return {"name": "New", "price": "1.00", "store_id": str(store.pk)}


# Bodies that refer to other rows: the examples of the OpenAPI document refer to the sample data.
BODIES: dict[str, Callable[[Actors], Json]] = {
    "heroes": lambda _actors: {"nickname": "New"},
    "orders": _order,
    "potions": lambda _actors: {"name": "New", "ingredients": [str(make_ingredient().pk)]},
    "products": _product,
    "quote": _order,
    "stores": lambda _actors: ADDRESS | {"currency": "EUR"},
    "tokens": lambda _actors: {"label": "New", "permissions": ["me:read"]},
}
