"""The table of heroes."""

from uuid import UUID

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.database import (
    Base,
    Versioned,
    check,
    folded,
    not_blank,
    reference_to,
    searchable,
    sort_indexes,
    sortable,
    unique,
)
from alchemist.domains.users.models import User

ROLES = ("mage", "assassin", "warrior", "priest", "tank")


class Hero(Versioned, Base):
    __tablename__ = "heroes"

    nickname: Mapped[str] = mapped_column(String(255))
    nickname_folded: Mapped[str] = folded("nickname")
    nickname_sort: Mapped[str] = sortable("nickname")
    search_words: Mapped[str] = searchable("nickname")
    role: Mapped[str | None] = mapped_column(String(16))
    user_id: Mapped[UUID | None] = reference_to(User, "#/user_id", "Hero {} belongs to the user.")

    __table_args__ = (
        unique(
            "nickname_folded", error=("already-exists", "#/nickname", "This nickname is taken.")
        ),
        not_blank("nickname"),
        check(
            "role IN ('mage', 'assassin', 'warrior', 'priest', 'tank')",
            "role",
            error=("not-one-of", "#/role", "Unknown role."),
        ),
        *sort_indexes("created_at", "updated_at", "nickname_sort", "role", "user_id"),
        Index(None, "search_words", postgresql_using="gin"),
    )
