"""What orders write: the stock that they take and give back, and their lines."""

from typing import Any

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
from alchemist.domains.stores.models import Store

from .models import OrderItem

NOW = func.clock_timestamp()


def _requested_lines() -> Any:
    """Return the lines of an order as a table: what is to be taken, and how many of it."""
    products = bindparam("product_ids", type_=ARRAY(Uuid))
    quantities = bindparam("quantities", type_=ARRAY(Integer))
    lines = func.unnest(products, quantities)
    return lines.table_valued(
        column("product_id", Uuid), column("quantity", Integer), with_ordinality="n", name="wanted"
    ).render_derived()


def _reserve_statement() -> Select[Any]:
    """Return the statement that takes from the stocks, and tells the price of each line.

    One statement locks first, in the order of the keys: whatever way the planner joins, two orders
    of the same products wait for each other and never crosswise. What is left is reckoned from the
    locked row: the row as it was before the wait would fail its check. A line that wants more than
    there is takes nothing.
    """
    wanted = _requested_lines()
    locked = (
        select(Product.pk, Product.name, Product.price, Product.stock, Product.store_id)
        .where(Product.pk == func.any(bindparam("product_ids", type_=ARRAY(Uuid))))
        .order_by(Product.pk)
        .with_for_update(key_share=True)
        .cte("locked")
        .prefix_with("MATERIALIZED")
    )
    taken = (
        update(Product)
        .where(
            Product.pk == locked.c.pk,
            wanted.c.product_id == locked.c.pk,
            wanted.c.quantity <= locked.c.stock,
        )
        .values(
            stock=locked.c.stock - wanted.c.quantity, version=Product.version + 1, updated_at=NOW
        )
        .returning(Product.pk)
        .cte("taken")
    )
    return (
        select(
            wanted.c.product_id,
            wanted.c.quantity,
            locked.c.name,
            locked.c.price.label("unit_price"),
            locked.c.stock,
            taken.c.pk.is_not(None).label("is_taken"),
            Store.currency,
        )
        .select_from(wanted)
        .outerjoin(locked, locked.c.pk == wanted.c.product_id)
        .outerjoin(taken, taken.c.pk == wanted.c.product_id)
        .outerjoin(Store, Store.pk == locked.c.store_id)
        .order_by(wanted.c.n)
    )


def _insert_items_statement() -> Any:
    """Return the one statement that writes the lines, however many there are.

    It leaves out those whose store has another currency by now than when the price was told: that
    was read after the wait for the product, the currency before it.
    """
    types: dict[str, TypeEngine[Any]] = {
        "product_id": Uuid(),
        "quantity": Integer(),
        "taken": Integer(),
        "currency": String(),
        "unit_price": Numeric(12, 2),
        "discount": Numeric(12, 2),
        "total": Numeric(12, 2),
    }
    arrays: list[Any] = [bindparam(name, type_=ARRAY(kind)) for name, kind in types.items()]
    columns: list[Any] = [column(name, kind) for name, kind in types.items()]
    lines = func.unnest(*arrays).table_valued(*columns, with_ordinality="n", name="lines")
    rows = lines.render_derived()
    values = select(
        bindparam("order_id", type_=Uuid()), rows.c.n - 1, *(rows.c[name] for name in types)
    ).where(
        Product.pk == rows.c.product_id,
        Store.pk == Product.store_id,
        Store.currency == rows.c.currency,
    )
    written = insert(db.table(OrderItem)).from_select(["order_id", "position", *types], values)
    return written.execution_options(preserve_rowcount=True)


def _return_statement() -> Any:
    """Return the statement that gives back what an order took; it locks first, as the other."""
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
        .execution_options(synchronize_session=False)
    )


def _currencies() -> Select[Any]:
    """Return the statement that tells in which currency some products cost what they cost."""
    found = select(Product.pk, Store.currency).join(Store, Store.pk == Product.store_id)
    return found.where(Product.pk == func.any(bindparam("product_ids", type_=ARRAY(Uuid))))


RESERVE_STOCK, INSERT_ITEMS, RETURN_STOCK = (
    _reserve_statement(),
    _insert_items_statement(),
    _return_statement(),
)
CURRENCIES = _currencies()
