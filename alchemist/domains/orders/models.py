"""The order as it is stored, and its lines."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    CheckConstraint,
    ForeignKey,
    Index,
    Numeric,
    String,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from alchemist.database import Base, Versioned, constraint_error
from alchemist.domains.coupons.models import Redemption
from alchemist.domains.heroes.models import Hero
from alchemist.domains.products.models import Product
from alchemist.domains.users.models import User

# What may be done with an order, by its status, and the status that it has then.
TRANSITIONS = {
    "placed": {"pay": "paid", "cancel": "cancelled"},
    "paid": {"fulfil": "fulfilled", "cancel": "cancelled"},
    "fulfilled": {},
    "cancelled": {},
}


class Order(Versioned, Base):
    __tablename__ = "orders"

    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(
            User.pk,
            info=constraint_error(
                "unknown-reference",
                "#",
                "The user does not exist.",
                referenced_detail="Order {} is theirs.",
            ),
        )
    )
    hero_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(
            Hero.pk,
            info=constraint_error(
                "unknown-reference",
                "#/hero_id",
                "The hero does not exist.",
                referenced_detail="Order {} is for them.",
            ),
        )
    )
    redemption_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(
            Redemption.pk,
            info=constraint_error("conflict", "#/coupon_code", "The redemption does not exist."),
        )
    )
    status: Mapped[str] = mapped_column(String(16), server_default="placed")
    # The clock and not now(): prices and coupons are those of after the wait for them.
    placed_at: Mapped[datetime] = mapped_column(
        default=func.clock_timestamp(), server_default=func.now()
    )
    # One entry for each currency, kept as it is told: what was agreed on never changes.
    totals: Mapped[list[dict[str, Any]]] = mapped_column(JSON)

    redemption: Mapped[Redemption | None] = relationship(lazy="raise")
    # The lines have no life of their own, so the order may know them.
    items: Mapped[list["OrderItem"]] = relationship(
        lazy="raise", order_by="OrderItem.position", passive_deletes="all"
    )

    __table_args__ = (
        UniqueConstraint(
            "redemption_id",
            info=constraint_error("conflict", "#", "The redemption is of another order."),
        ),
        CheckConstraint(
            "status IN ('placed', 'paid', 'fulfilled', 'cancelled')",
            "status",
            info=constraint_error("not-one-of", "#/status", "Not a status of orders."),
        ),
        Index(None, "placed_at", "pk"),
        Index(None, "status", "pk"),
        Index(None, "status", "placed_at", "pk"),
        Index(None, "user_id", "pk"),
        Index(None, "user_id", "placed_at", "pk"),
        Index(None, "hero_id"),
    )


class OrderItem(Base):
    """A line: what one product cost then. `taken` is what it took from a stock, all or nothing."""

    __tablename__ = "order_items"

    order_id: Mapped[UUID] = mapped_column(
        ForeignKey(
            Order.pk,
            ondelete="CASCADE",
            info=constraint_error("conflict", "#", "The order was deleted at the same time."),
        ),
        primary_key=True,
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = mapped_column(
        ForeignKey(
            Product.pk,
            info=constraint_error(
                "unknown-reference",
                "#/items",
                "A product does not exist.",
                referenced_detail="Order {} contains it.",
                referencing_column="order_id",
            ),
        ),
    )
    quantity: Mapped[int]
    taken: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    unit_price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    discount: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    total: Mapped[Decimal] = mapped_column(Numeric(12, 2))

    product: Mapped[Product] = relationship(lazy="raise")

    __table_args__ = (
        Index(None, "product_id", "order_id"),
        UniqueConstraint(
            "order_id",
            "product_id",
            info=constraint_error("duplicate", "#/items", "A product is given twice."),
        ),
        CheckConstraint(
            "quantity >= 1",
            "quantity",
            info=constraint_error("out-of-range", "#/items", "A quantity must be 1 or more."),
        ),
        CheckConstraint(
            "taken IN (0, quantity)",
            "taken",
            info=constraint_error(
                "out-of-range", "#/items", "A line takes all of its quantity or nothing."
            ),
        ),
        CheckConstraint(
            "unit_price >= 0 AND discount >= 0 AND total >= 0"
            " AND total = quantity * unit_price - discount",
            "total",
            info=constraint_error("out-of-range", "#/items", "A line does not add up."),
        ),
    )
