"""The statements that reserve stock, return it, and insert the items of an order.

Reserving and returning lock the products in the order of their primary keys, so orders do not
deadlock.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Integer,
    Numeric,
    Select,
    String,
    Uuid,
    bindparam,
    column,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from alchemist import database as db
from alchemist.domains.products.models import Product

from .cart import CartItem
from .models import OrderItem
from .pricing import ItemPrice, from_minor_units

NOW = func.clock_timestamp()
PRODUCT_IDS = bindparam("product_ids", type_=ARRAY(Uuid))


def reserve_available(quantities: Mapping[UUID, int]) -> list[CartItem]:
    """Lock the products and decrement their stock; return an item for each, in the same order.

    A product without enough stock is not changed: its item is not `is_reserved`.
    """
    parameters = {"product_ids": list(quantities), "quantities": list(quantities.values())}
    rows = db.session.execute(RESERVE_STOCK, parameters)
    return [CartItem(*row) for row in rows]


def insert_items(
    order_id: UUID, cart_items: Sequence[CartItem], prices: Sequence[ItemPrice]
) -> None:
    columns = {
        "product_id": [item.product_id for item in cart_items],
        "store_id": [item.store_id for item in cart_items],
        "name": [item.name for item in cart_items],
        "quantity": [item.quantity for item in cart_items],
        "taken": [item.quantity if item.is_reserved else 0 for item in cart_items],
        "currency": [price.currency for price in prices],
        "unit_price": [
            from_minor_units(price.subtotal // item.quantity, price.currency)
            for item, price in zip(cart_items, prices, strict=True)
        ],
        "discount": [from_minor_units(price.discount, price.currency) for price in prices],
        "total": [from_minor_units(price.total, price.currency) for price in prices],
    }
    db.session.execute(INSERT_ITEMS, {"order_id": order_id} | columns)


def return_stock(order_id: UUID) -> None:
    """Add to the stocks what the order has reserved."""
    audit_changes(db.session.scalars(RETURN_STOCK, {"order_id": order_id}))


def audit_changes(product_ids: Iterable[UUID]) -> None:
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


def _insert_items_statement() -> Any:
    """Return the statement that inserts all items of an order."""
    types: dict[str, TypeEngine[Any]] = {
        "product_id": Uuid(),
        "store_id": Uuid(),
        "name": String(),
        "quantity": Integer(),
        "taken": Integer(),
        "currency": String(),
        "unit_price": Numeric(),
        "discount": Numeric(),
        "total": Numeric(),
    }
    arrays: list[Any] = [bindparam(name, type_=ARRAY(type_)) for name, type_ in types.items()]
    columns: list[Any] = [column(name, type_) for name, type_ in types.items()]
    items = func.unnest(*arrays).table_valued(*columns, with_ordinality="n", name="items")
    items = items.render_derived()
    rows = select(
        bindparam("order_id", type_=Uuid()), items.c.n - 1, *(items.c[name] for name in types)
    )
    return insert(db.table(OrderItem)).from_select(["order_id", "position", *types], rows)


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
INSERT_ITEMS = _insert_items_statement()
RETURN_STOCK = _return_stock_statement()
