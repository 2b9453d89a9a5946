"""The statements that reserve stock and return it.

Reserving and returning lock the products in the order of their primary keys, so orders do not
deadlock.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Integer,
    Select,
    Uuid,
    bindparam,
    column,
    func,
    select,
    update,
)

from alchemist import database as db
from alchemist.domains.products.models import Product

from .cart import CartItem
from .models import OrderItem

NOW = func.clock_timestamp()
PRODUCT_IDS = bindparam("product_ids", type_=ARRAY(Uuid))


def reserve_available(quantities: Mapping[UUID, int]) -> list[CartItem]:
    """Lock the products and decrement their stock; return an item for each, in the same order.

    A product without enough stock is not changed: its item is not `is_reserved`.
    """
    parameters = {"product_ids": list(quantities), "quantities": list(quantities.values())}
    rows = db.session.execute(RESERVE_STOCK, parameters)
    return [CartItem(*row) for row in rows]


def return_stock(order_id: UUID) -> None:
    """Add to the stocks what the order has reserved."""
    queue_stock_audit_entries(db.session.scalars(RETURN_STOCK, {"order_id": order_id}))


def queue_stock_audit_entries(product_ids: Iterable[UUID]) -> None:
    """Queue an audit entry for each product whose stock an order has changed."""
    for pk in product_ids:
        db.queue_audit_entry("update", Product, pk, "stock")


def _requested_items_table() -> Any:
    """Return the table of the requested products and quantities."""
    items = func.unnest(PRODUCT_IDS, bindparam("quantities", type_=ARRAY(Integer)))
    return items.table_valued(
        column("product_id", Uuid),
        column("quantity", Integer),
        with_ordinality="n",
        name="requested",
    ).render_derived()


def _reserve_statement() -> Select[Any]:
    """Return the statement that locks products by pk and decrements the stocks that suffice.

    Its rows have the fields of CartItem. The CTE `locked` fixes the order of the locks, whatever
    join the planner chooses. The new stock is computed from the locked row: the UPDATE's own
    snapshot is older than the wait for the lock, and an update based on it would be lost or fail.
    """
    requested = _requested_items_table()
    locked = (
        select(
            Product.pk,
            Product.store_id,
            Product.name,
            Product.price,
            Product.currency,
            Product.stock,
        )
        .where(Product.pk == func.any(PRODUCT_IDS))
        .order_by(Product.pk)
        .with_for_update(key_share=True)
        .cte("locked")
        .prefix_with("MATERIALIZED")
    )
    decremented = (
        update(Product)
        .where(
            Product.pk == locked.c.pk,
            requested.c.product_id == locked.c.pk,
            requested.c.quantity <= locked.c.stock,
        )
        .values(
            stock=locked.c.stock - requested.c.quantity,
            version=Product.version + 1,
            updated_at=NOW,
        )
        .returning(Product.pk)
        .cte("decremented")
    )
    return (
        select(
            requested.c.product_id,
            requested.c.quantity,
            locked.c.store_id,
            locked.c.name,
            locked.c.price,
            locked.c.currency,
            locked.c.stock,
            decremented.c.pk.is_not(None),
        )
        .select_from(requested)
        .outerjoin(locked, locked.c.pk == requested.c.product_id)
        .outerjoin(decremented, decremented.c.pk == requested.c.product_id)
        .order_by(requested.c.n)
    )


def _return_stock_statement() -> Any:
    """Return the statement that locks the products of an order by pk and restores their stocks."""
    locked = (
        select(Product.pk, OrderItem.taken)
        .join(OrderItem, OrderItem.product_id == Product.pk)
        .where(OrderItem.order_id == bindparam("order_id"), OrderItem.taken > 0)
        .order_by(Product.pk)
        .with_for_update(key_share=True, of=Product)
        .cte("locked")
        .prefix_with("MATERIALIZED")
    )
    return (
        update(Product)
        .where(Product.pk == locked.c.pk)
        .values(stock=Product.stock + locked.c.taken, version=Product.version + 1, updated_at=NOW)
        .returning(Product.pk)
        .execution_options(synchronize_session=False)
    )


RESERVE_STOCK = _reserve_statement()
RETURN_STOCK = _return_stock_statement()
