"""The ingredient as it is stored."""

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.db import Base, Versioned, words
from alchemist.violations import not_blank


class Ingredient(Versioned, Base):
    __tablename__ = "ingredients"

    name: Mapped[str] = mapped_column(String(127))
    description: Mapped[str | None] = mapped_column(String(2000))

    __table_args__ = (
        not_blank("name"),
        Index(None, "name", "pk"),
        Index(None, "created_at", "pk"),
    )


WORDS = words(Ingredient.__table__.c.name, Ingredient.__table__.c.description)
Index("ingredients_words_idx", WORDS, postgresql_using="gin")
