"""The table of heroes."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.database import (
    Base,
    Versioned,
    constraint_info,
    folded,
    not_blank,
    searchable,
    sortable,
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
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(
            User.pk,
            info=constraint_info(
                "unknown-reference",
                "#/user_id",
                "The user does not exist.",
                referenced_detail="Hero {} belongs to the user.",
            ),
        )
    )

    __table_args__ = (
        UniqueConstraint(
            "nickname_folded",
            info=constraint_info("already-exists", "#/nickname", "This nickname is taken."),
        ),
        not_blank("nickname"),
        CheckConstraint(
            "role IN ('mage', 'assassin', 'warrior', 'priest', 'tank')",
            "role",
            info=constraint_info("not-one-of", "#/role", "Unknown role."),
        ),
        Index(None, "created_at", "pk"),
        Index(None, "updated_at", "pk"),
        Index(None, "search_words", postgresql_using="gin"),
        Index(None, "nickname_sort", "pk"),
        Index(None, "role", "pk"),
        Index(None, "user_id", "pk"),
    )
