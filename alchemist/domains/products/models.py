"""The table of products."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    Numeric,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from alchemist.database import Base, Versioned, constraint_error, not_blank, searchable, sortable
from alchemist.domains.potions.models import Potion
from alchemist.domains.stores.models import Store


class Product(Versioned, Base):
    """A product in a store, priced in its currency; its stock is unlimited if null."""

    __tablename__ = "products"

    store_id: Mapped[UUID] = mapped_column(
        ForeignKey(
            Store.pk,
            info=constraint_error(
                "unknown-reference",
                "#/store_id",
                "The store does not exist.",
                referenced_detail="Product {} is sold there.",
            ),
        )
    )
    potion_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(
            Potion.pk,
            info=constraint_error(
                "unknown-reference",
                "#/potion_id",
                "The potion does not exist.",
                referenced_detail="Product {} sells it.",
            ),
        )
    )
    name: Mapped[str] = mapped_column(String(255))
    name_sort: Mapped[str] = sortable("name")
    description: Mapped[str | None] = mapped_column(String(2000))
    search_words: Mapped[str] = searchable("name", "description")
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    # BIGINT: stock that orders return may exceed the maximum that clients can set.
    stock: Mapped[int | None] = mapped_column(BigInteger)
    # Indexed instead of the stock: only an order of the last piece updates an index.
    in_stock: Mapped[bool] = mapped_column(Computed("stock IS NULL OR stock > 0", persisted=True))

    store: Mapped[Store] = relationship(lazy="raise")

    __table_args__ = (
        UniqueConstraint(
            "store_id",
            "name",
            info=constraint_error(
                "already-exists", "#/name", "The store has a product of this name."
            ),
        ),
        not_blank("name"),
        CheckConstraint(
            "price >= 0",
            "price",
            info=constraint_error("out-of-range", "#/price", "Must be 0 or more."),
        ),
        CheckConstraint(
            "stock >= 0",
            "stock",
            info=constraint_error("out-of-range", "#/stock", "Must be 0 or more."),
        ),
        Index(None, "name_sort", "pk"),
        Index(None, "price", "pk"),
        Index(None, "created_at", "pk"),
        Index(None, "search_words", postgresql_using="gin"),
        Index(None, "store_id", "pk"),
        Index(None, "store_id", "name_sort", "pk"),
        Index(None, "potion_id", "pk"),
        Index(None, "in_stock", "pk"),
    )
