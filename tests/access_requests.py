"""Callers of every kind, and a valid request of each operation for their rows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from alchemist import database as db
from alchemist.api.idempotency import IdempotencyKey
from alchemist.docs.example_values import Json, example_value
from alchemist.domains.coupons import service as coupons
from alchemist.domains.orders import service as orders
from alchemist.domains.products.models import Product
from alchemist.domains.users import service as users
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

# Merge patches of the resources that have no name.
PATCHES = {
    "users": {"full_name": "Changed"},
    "heroes": {"nickname": "Changed"},
    "coupons": {"percent_off": 5},
}

ADDRESS = dict.fromkeys(("name", "street", "zipcode", "city", "country"), "New")


class Actors:
    """The owner, the merchant, a coupon, and a token of each caller."""

    def __init__(self) -> None:
        self.owner, self.merchant = make_user(), make_user(role="merchant")
        self.coupon = make_coupon()
        admin = make_user(role="admin")
        yesterday = datetime.now(UTC) - timedelta(days=1)
        revoked, revoked_secret = users.issue(admin, ADMIN, label="revoked")
        users.revoke(revoked)
        self.secrets = {
            "stranger": make_token(make_user()),
            "owner": make_token(self.owner),
            "merchant": make_token(self.merchant),
            "admin": make_token(admin),
            "narrowed": users.issue(admin, ADMIN, label="narrowed", permissions=["me:read"])[1],
            "expired": users.issue(admin, ADMIN, label="expired", expires_at=yesterday)[1],
            "revoked": revoked_secret,
        }

    def authorization(self, caller: str) -> dict[str, str]:
        return {} if caller == "anonymous" else bearer(self.secrets[caller])

    def make_product(self) -> Product:
        return make_product(make_store(owner_id=self.merchant.pk), stock=5)


def request_path(path: str, actors: Actors) -> str:
    """Return the path with the keys of existing rows."""
    keys = {"user_id": actors.owner.pk, "coupon_id": actors.coupon.pk}
    if "{key}" in path:
        keys["key"] = _store_response(actors)
    if "{pk}" in path:
        keys["pk"] = _make_row(path, actors)
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
    "tokens": lambda actors: users.issue(actors.owner, ADMIN, label="requested")[0].pk,
    # Rows of the owner would prevent a deletion.
    "users": lambda actors: actors.owner.pk,
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
