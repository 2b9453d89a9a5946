"""The table of stores."""

from uuid import UUID

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.database import (
    Base,
    ExternallyReferenced,
    Versioned,
    check,
    not_blank,
    reference_to,
    searchable,
    sort_indexes,
    sortable,
    unique,
)
from alchemist.domains.users.models import User


class Store(ExternallyReferenced, Versioned, Base):
    __tablename__ = "stores"

    owner_id: Mapped[UUID | None] = reference_to(
        User, "#/owner_id", "Store {} belongs to the user."
    )
    name: Mapped[str] = mapped_column(String(255))
    name_sort: Mapped[str] = sortable("name")
    street: Mapped[str] = mapped_column(String(255))
    zipcode: Mapped[str] = mapped_column(String(255))
    city: Mapped[str] = mapped_column(String(255))
    search_words: Mapped[str] = searchable("name", "street", "city")
    country: Mapped[str] = mapped_column(String(255))
    currency: Mapped[str] = mapped_column(String(3))
    domain: Mapped[str | None] = mapped_column(String(255))
    phone: Mapped[str | None] = mapped_column(String(64))
    email: Mapped[str | None] = mapped_column(String(254))

    __table_args__ = (
        # Products refer to both: their currency follows that of the store.
        unique("pk", "currency", error=("already-exists", "#/pk", "The key is taken.")),
        not_blank("name"),
        not_blank("street"),
        not_blank("zipcode"),
        not_blank("city"),
        not_blank("country"),
        check(
            "currency ~ '^[A-Z]{3}$'",
            "currency",
            error=("not-one-of", "#/currency", "Not a currency of ISO 4217."),
        ),
        *sort_indexes(
            "name_sort", "created_at", "updated_at", "city", "country", "currency", "owner_id"
        ),
        Index(None, "search_words", postgresql_using="gin"),
    )
