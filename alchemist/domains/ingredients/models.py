"""The table of ingredients."""

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from alchemist.database import (
    Base,
    ExternallyReferenced,
    Versioned,
    not_blank,
    searchable,
    sort_indexes,
    sortable,
)


class Ingredient(ExternallyReferenced, Versioned, Base):
    __tablename__ = "ingredients"

    name: Mapped[str] = mapped_column(String(127))
    name_sort: Mapped[str] = sortable("name")
    description: Mapped[str | None] = mapped_column(String(2000))
    search_words: Mapped[str] = searchable("name", "description")

    __table_args__ = (
        not_blank("name"),
        *sort_indexes("name", "name_sort", "created_at", "updated_at"),
        Index(None, "search_words", postgresql_using="gin"),
    )
