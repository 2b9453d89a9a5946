"""The table of products."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Computed,
    ForeignKeyConstraint,
    Index,
    Numeric,
    String,
    column,
)
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from alchemist.database import (
    Base,
    ExternallyReferenced,
    Versioned,
    check,
    constraint_info,
    not_blank,
    reference_to,
    searchable,
    sort_indexes,
    sortable,
    unique,
)
from alchemist.domains.potions.models import Potion
from alchemist.domains.stores.currencies import is_valid_amount_sql
from alchemist.domains.stores.models import Store


class Product(ExternallyReferenced, Versioned, Base):
    """A product in a store, priced in its currency; its stock is unlimited if null."""

    __tablename__ = "products"

    store_id: Mapped[UUID]
    # PostgreSQL sets it when the store changes its currency.
    currency: Mapped[str] = mapped_column(String(3))
    potion_id: Mapped[UUID | None] = reference_to(Potion, "#/potion_id", "Product {} sells it.")
    name: Mapped[str] = mapped_column(String(255))
    name_sort: Mapped[str] = sortable("name")
    description: Mapped[str | None] = mapped_column(String(2000))
    search_words: Mapped[str] = searchable("name", "description")
    price: Mapped[Decimal] = mapped_column(Numeric)
    # BIGINT: stock that orders return may exceed the maximum that clients can set.
    stock: Mapped[int | None] = mapped_column(BigInteger)
    # Indexed instead of the stock: only an order of the last piece updates an index.
    in_stock: Mapped[bool] = mapped_column(Computed("stock IS NULL OR stock > 0", persisted=True))

    store: Mapped[Store] = relationship(
        lazy="raise", primaryjoin=lambda: foreign(Product.store_id) == Store.pk
    )

    __table_args__ = (
        ForeignKeyConstraint(
            ["store_id", "currency"],
            [Store.pk, Store.currency],
            onupdate="CASCADE",
            info=constraint_info(
                "unknown-reference",
                "#/store_id",
                "The store does not exist.",
                referenced_detail="Product {} is sold there.",
            ),
        ),
        # Prices are checked before they are stored, so only a new currency violates it.
        check(
            is_valid_amount_sql(column("price"), column("currency")),
            "currency",
            error=("conflict", "#/currency", "The currency lacks the amount of a product."),
        ),
        unique(
            "store_id",
            "name",
            error=("already-exists", "#/name", "The store has a product of this name."),
        ),
        not_blank("name"),
        check("price >= 0", "price", error=("out-of-range", "#/price", "Must be 0 or more.")),
        check("stock >= 0", "stock", error=("out-of-range", "#/stock", "Must be 0 or more.")),
        *sort_indexes(
            "name_sort", "price", "created_at", "updated_at", "store_id", "potion_id", "in_stock"
        ),
        Index(None, "search_words", postgresql_using="gin"),
        Index(None, "store_id", "name_sort", "pk"),
    )
