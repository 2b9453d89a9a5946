"""The table of heroes."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.database import Base, Versioned, constraint_error, not_blank, search_vector
from alchemist.domains.users.models import User

ROLES = ("mage", "assassin", "warrior", "priest", "tank")


class Hero(Versioned, Base):
    __tablename__ = "heroes"

    nickname: Mapped[str] = mapped_column(String(255))
    role: Mapped[str | None] = mapped_column(String(16))
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(
            User.pk,
            info=constraint_error(
                "unknown-reference",
                "#/user_id",
                "The user does not exist.",
                referenced_detail="Hero {} belongs to the user.",
            ),
        )
    )

    __table_args__ = (
        UniqueConstraint(
            "nickname",
            info=constraint_error("already-exists", "#/nickname", "This nickname is taken."),
        ),
        not_blank("nickname"),
        CheckConstraint(
            "role IN ('mage', 'assassin', 'warrior', 'priest', 'tank')",
            "role",
            info=constraint_error("not-one-of", "#/role", "Unknown role."),
        ),
        Index(None, "created_at", "pk"),
        Index(None, "role", "pk"),
        Index(None, "user_id", "pk"),
    )


SEARCH_VECTOR = search_vector(Hero.__table__.c.nickname)
Index("heroes_words_idx", SEARCH_VECTOR, postgresql_using="gin")
