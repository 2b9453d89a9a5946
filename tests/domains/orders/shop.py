"""Requests of the tests of orders, and queries of the rows that they change."""

from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from alchemist import database as db
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.products.models import Product
from tests.domains.users import database_dump

URL = "/api/v2/orders"
# Coupons whose counter does not match their redemptions.
COUPON_MISMATCHES = """
    SELECT c.code FROM coupons c
    WHERE c.init_count <> c.used_before + c.remaining_count + (
        SELECT count(*) FROM redemptions r WHERE r.coupon_id = c.pk AND r.released_at IS NULL
    )
"""


def item(product: Any, quantity: Any = 1) -> dict[str, Any]:
    pk = product.pk if isinstance(product, Product) else product
    return {"product_id": str(pk), "quantity": quantity}


def stock(product: Product) -> int | None:
    return db.session.scalar(select(Product.stock).where(Product.pk == product.pk))


def remaining(coupon: Coupon) -> int | None:
    return db.session.scalar(select(Coupon.remaining_count).where(Coupon.pk == coupon.pk))


def coupon_mismatches() -> list[str]:
    return list(db.session.scalars(text(COUPON_MISMATCHES)))


def dump() -> list[str]:
    """Return all rows except those of tokens, whose `last_used_at` changes with every request."""
    return sorted(database_dump.rows(db.session.connection(), "tokens"))


def transition(client: Any, pk: UUID | str, *actions: str, headers: dict[str, str]) -> Any:
    """Take an order through some transitions; return the last answer."""
    answer = None
    for action in actions:
        answer = client.post(f"{URL}/{pk}/{action}", headers=headers)
        assert answer.status_code == 200, answer.text
    return answer
