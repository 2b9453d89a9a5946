"""The table of stores."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.database import Base, Versioned, constraint_error, not_blank, search_vector
from alchemist.domains.users.models import User


class Store(Versioned, Base):
    __tablename__ = "stores"

    owner_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(
            User.pk,
            info=constraint_error(
                "unknown-reference",
                "#/owner_id",
                "The user does not exist.",
                referenced_detail="Store {} belongs to the user.",
            ),
        )
    )
    name: Mapped[str] = mapped_column(String(255))
    street: Mapped[str] = mapped_column(String(255))
    zipcode: Mapped[str] = mapped_column(String(255))
    city: Mapped[str] = mapped_column(String(255))
    country: Mapped[str] = mapped_column(String(255))
    currency: Mapped[str] = mapped_column(String(3))
    domain: Mapped[str | None] = mapped_column(String(255))
    phone: Mapped[str | None] = mapped_column(String(64))
    email: Mapped[str | None] = mapped_column(String(254))

    __table_args__ = (
        not_blank("name"),
        not_blank("street"),
        not_blank("zipcode"),
        not_blank("city"),
        not_blank("country"),
        CheckConstraint(
            "currency ~ '^[A-Z]{3}$'",
            "currency",
            info=constraint_error("not-one-of", "#/currency", "Not a currency of ISO 4217."),
        ),
        Index(None, "name", "pk"),
        Index(None, "created_at", "pk"),
        Index(None, "city", "pk"),
        Index(None, "country", "pk"),
        Index(None, "currency", "pk"),
        Index(None, "owner_id", "pk"),
    )


SEARCH_VECTOR = search_vector(
    Store.__table__.c.name, Store.__table__.c.street, Store.__table__.c.city
)
Index("stores_words_idx", SEARCH_VECTOR, postgresql_using="gin")
