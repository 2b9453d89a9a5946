"""Checks the prices of a store's products when the store gets another currency."""

from decimal import Decimal
from typing import Any

from sqlalchemy import Text, bindparam, cast, event, select

from alchemist import database as db
from alchemist import errors
from alchemist.domains.stores.currencies import describe_valid_amounts, is_valid_amount_sql
from alchemist.domains.stores.models import Store

from .models import Product

# The locks are in the order of the primary keys, as those of orders are. The currency of the
# products changes with that of the store, in the order in which PostgreSQL finds them.
_locked = (
    select(Product.pk, Product.name, Product.price)
    .where(Product.store_id == bindparam("store_id"))
    .order_by(Product.pk)
    .with_for_update(key_share=True)
    .cte("locked")
    .prefix_with("MATERIALIZED")
)
LOCK_AND_CHECK = (
    select(_locked.c.name, _locked.c.price)
    .where(~is_valid_amount_sql(_locked.c.price, cast(bindparam("currency"), Text)))
    .order_by(_locked.c.pk)
    .limit(10)
)


@event.listens_for(Store.currency, "set")
def _lock_products_and_check_prices(
    store: Store, currency: str, before: Any, _initiator: object
) -> None:
    """Lock the products; raise Conflict with up to ten prices that the new currency lacks."""
    if store.pk is None or currency == before:
        return
    parameters = {"store_id": store.pk, "currency": currency}
    with db.session.no_autoflush:
        products = db.session.execute(LOCK_AND_CHECK, parameters).all()
    if products:
        sentence = describe_valid_amounts(currency)
        raise errors.Conflict(
            "Products of the store have prices that the currency lacks.",
            [_price_error(name, price, sentence) for name, price in products],
        )


def _price_error(name: str, price: Decimal, sentence: str) -> errors.ErrorDetail:
    detail = f"“{name}” costs {price:f}. {sentence}"
    return {"pointer": "#/currency", "code": "conflict", "detail": detail}
