"""The tables of users and tokens."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from alchemist.database import (
    Base,
    Versioned,
    check,
    constraint_info,
    folded,
    not_blank,
    parent_key,
    searchable,
    sort_indexes,
    sortable,
    unique,
)

ROLES = ("customer", "merchant", "admin")


class User(Versioned, Base):
    __tablename__ = "users"

    email: Mapped[str] = mapped_column(String(254))
    email_folded: Mapped[str] = folded("email")
    email_sort: Mapped[str] = sortable("email")
    full_name: Mapped[str] = mapped_column(String(255))
    search_words: Mapped[str] = searchable("email", "full_name")
    role: Mapped[str] = mapped_column(
        String(16), server_default="customer", info={"audit_values": True}
    )
    suspended_at: Mapped[datetime | None]

    __table_args__ = (
        unique("email_folded", error=("already-exists", "#/email", "This e-mail is taken.")),
        check(
            "email = lower(email) AND email <> ''",
            "email",
            error=("wrong-type", "#/email", "Not an e-mail address."),
        ),
        not_blank("full_name"),
        check(
            "role IN ('customer', 'merchant', 'admin')",
            "role",
            error=("not-one-of", "#/role", "Unknown role."),
        ),
        *sort_indexes("email_sort", "role", "created_at", "updated_at"),
        Index(None, "search_words", postgresql_using="gin"),
    )


class Token(Versioned, Base):
    """A bearer token. The database stores a hash of its secret, and nothing else of it."""

    __tablename__ = "tokens"

    user_id: Mapped[UUID] = parent_key(User)
    # The token of the request that made this one. It ends when that token ends.
    made_with_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(
            "tokens.pk",
            ondelete="CASCADE",
            info=constraint_info("conflict", "#", "The token was deleted at the same time."),
        ),
    )
    label: Mapped[str] = mapped_column(String(127))
    digest: Mapped[str] = mapped_column(String(64))
    permissions: Mapped[list[str] | None] = mapped_column(
        ARRAY(String), info={"audit_values": True}
    )
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(lazy="raise")

    __table_args__ = (
        unique("digest", error=("conflict", "#", "Send the request again.")),
        not_blank("label"),
        Index(None, "user_id", "pk"),
        Index(None, "user_id", "created_at"),
        Index(None, "made_with_id"),
    )
