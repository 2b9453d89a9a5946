"""The tables of orders and of their items."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    ForeignKey,
    Index,
    Numeric,
    String,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from alchemist.database import (
    Base,
    Versioned,
    check,
    child_rows,
    constraint_info,
    parent_key,
    reference_to,
    sort_indexes,
    unique,
)
from alchemist.domains.coupons.models import Redemption
from alchemist.domains.heroes.models import Hero
from alchemist.domains.products.models import Product
from alchemist.domains.users.models import User

# By status: the actions that it allows, and the status that each leads to in the end.
TRANSITIONS = {
    "placed": {"pay": "paid", "cancel": "cancelled"},
    "paid": {"fulfil": "fulfilled", "cancel": "cancelled"},
    # Some sellers have fulfilled their items, others have not.
    "partially_fulfilled": {"fulfil": "fulfilled"},
    "fulfilled": {},
    "cancelled": {},
}


class Order(Versioned, Base):
    __tablename__ = "orders"

    user_id: Mapped[UUID | None] = reference_to(User, "#", "Order {} belongs to the user.")
    hero_id: Mapped[UUID | None] = reference_to(Hero, "#/hero_id", "Order {} is for the hero.")
    redemption_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(
            Redemption.pk,
            info=constraint_info("conflict", "#/coupon_code", "The redemption does not exist."),
        )
    )
    # As it was when the order was placed.
    coupon_code: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(32), server_default="placed")
    placed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # Null once it is paid. Until it is cancelled, an expired order still reserves its stock.
    expires_at: Mapped[datetime | None]
    # One object for each currency, as clients see it: the totals of an order never change.
    totals: Mapped[list[dict[str, Any]]] = mapped_column(JSON)

    # The only relationship to a child: items belong to one order and are deleted with it.
    items: Mapped[list["OrderItem"]] = child_rows("OrderItem")

    __table_args__ = (
        unique(
            "redemption_id", error=("conflict", "#", "The redemption belongs to another order.")
        ),
        check(
            "status IN ('placed', 'paid', 'partially_fulfilled', 'fulfilled', 'cancelled')",
            "status",
            error=("not-one-of", "#/status", "Not an order status."),
        ),
        check(
            "expires_at IS NULL OR status = 'placed'",
            "expires_at",
            error=("conflict", "#", "Only an unpaid order expires."),
        ),
        *sort_indexes("placed_at", "updated_at", "status", "user_id"),
        Index(None, "expires_at"),
        Index(None, "status", "placed_at", "pk"),
        Index(None, "status", "updated_at", "pk"),
        Index(None, "user_id", "placed_at", "pk"),
        Index(None, "hero_id"),
    )


class OrderItem(Base):
    """A product, with its name and price when the order was placed.

    Amounts are stored with the decimals of the currency.

    `taken` is the quantity reserved from the stock, or 0 if the stock was unlimited.
    """

    __tablename__ = "order_items"

    order_id: Mapped[UUID] = parent_key(Order, primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = reference_to(
        Product, "#/items", "Order {} contains it.", referencing_column="order_id"
    )
    # That of the product, which never changes.
    store_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(String(255))
    quantity: Mapped[int]
    taken: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    unit_price: Mapped[Decimal] = mapped_column(Numeric)
    discount: Mapped[Decimal] = mapped_column(Numeric)
    total: Mapped[Decimal] = mapped_column(Numeric)
    fulfilled_at: Mapped[datetime | None]

    product: Mapped[Product] = relationship(lazy="raise")

    __table_args__ = (
        Index(None, "product_id", "order_id"),
        Index(None, "store_id", "order_id"),
        unique("order_id", "product_id", error=("duplicate", "#/items", "A product occurs twice.")),
        check(
            "quantity >= 1",
            "quantity",
            error=("out-of-range", "#/items", "A quantity must be 1 or more."),
        ),
        check(
            "taken IN (0, quantity)",
            "taken",
            error=("out-of-range", "#/items", "An item reserves all of its quantity or nothing."),
        ),
        check(
            "unit_price >= 0 AND discount >= 0 AND total >= 0"
            " AND total = quantity * unit_price - discount",
            "total",
            error=("out-of-range", "#/items", "An item has a wrong total."),
        ),
    )
