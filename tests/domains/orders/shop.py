"""What tests of orders send, and what they look up afterwards."""

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
    """Return every row but those of tokens, which store when they were last used."""
    return sorted(database_dump.rows(db.session.connection(), "tokens"))


def transition(client: Any, pk: UUID | str, *verbs: str, headers: dict[str, str]) -> Any:
    """Take an order through the transitions `verbs`; return the last answer."""
    answer = None
    for verb in verbs:
        answer = client.post(f"{URL}/{pk}/{verb}", headers=headers)
        assert answer.status_code == 200, answer.text
    return answer
