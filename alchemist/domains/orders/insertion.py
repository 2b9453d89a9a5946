"""The statement that inserts an order and all of its items."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, Row, Select, bindparam, func, insert, select

from alchemist import database as db

from .cart import CartItem
from .models import Order, OrderItem
from .pricing import ItemPrice, from_minor_units

# now() is the start of the transaction: prices are read later, after the wait for locks.
PLACED_AT = func.statement_timestamp()
ORDER_COLUMNS = ("pk", "user_id", "hero_id", "redemption_id", "coupon_code", "totals")
ITEM_COLUMNS = (
    "position",
    "product_id",
    "store_id",
    "name",
    "quantity",
    "taken",
    "currency",
    "unit_price",
    "discount",
    "total",
)


def insert_order(
    values: Mapping[str, Any],
    ttl: timedelta,
    cart_items: Sequence[CartItem],
    prices: Sequence[ItemPrice],
) -> Row[tuple[UUID]]:
    """Insert an order with the values of `ORDER_COLUMNS`; return a row with its `pk`."""
    items = [
        {"position": position, **_item_values(item, price)}
        for position, (item, price) in enumerate(zip(cart_items, prices, strict=True))
    ]
    db.queue_audit_entry("create", Order, values["pk"], *AUDITED_FIELDS)
    parameters = {**values, "ttl": ttl, "items": db.to_json(items)}
    return db.session.execute(INSERT_ORDER, parameters).one()


def _item_values(item: CartItem, price: ItemPrice) -> dict[str, Any]:
    return {
        "product_id": item.product_id,
        "store_id": item.store_id,
        "name": item.name,
        "quantity": item.quantity,
        "taken": item.quantity if item.is_reserved else 0,
        "currency": price.currency,
        "unit_price": from_minor_units(price.subtotal // item.quantity, price.currency),
        "discount": from_minor_units(price.discount, price.currency),
        "total": from_minor_units(price.total, price.currency),
    }


def _insert_statement() -> Select[tuple[UUID]]:
    orders, items = db.table(Order), db.table(OrderItem)
    values = {name: bindparam(name, type_=orders.c[name].type) for name in ORDER_COLUMNS}
    times = {
        "placed_at": PLACED_AT,
        "expires_at": PLACED_AT + bindparam("ttl", type_=Interval()),
    }
    inserted = insert(orders).values(values | times).returning(orders.c.pk).cte("inserted")
    item_values = db.json_row_values("items", items, ITEM_COLUMNS)
    rows = select(values["pk"], *item_values.values())
    inserted_items = insert(items).from_select(["order_id", *item_values], rows)
    return select(inserted.c.pk).add_cte(inserted_items.cte("inserted_items"))


INSERT_ORDER = _insert_statement()
AUDITED_FIELDS = {*ORDER_COLUMNS, "placed_at", "expires_at"} - {"pk"}
