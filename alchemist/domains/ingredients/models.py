"""The table of ingredients."""

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.database import Base, Versioned, not_blank, search_vector


class Ingredient(Versioned, Base):
    __tablename__ = "ingredients"

    name: Mapped[str] = mapped_column(String(127))
    description: Mapped[str | None] = mapped_column(String(2000))

    __table_args__ = (
        not_blank("name"),
        Index(None, "name", "pk"),
        Index(None, "created_at", "pk"),
    )


SEARCH_VECTOR = search_vector(Ingredient.__table__.c.name, Ingredient.__table__.c.description)
Index("ingredients_words_idx", SEARCH_VECTOR, postgresql_using="gin")
