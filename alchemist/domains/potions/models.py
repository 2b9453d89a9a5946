"""The tables of potions and of their ingredients."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import Index, Numeric, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from alchemist.database import (
    Base,
    ExternallyReferenced,
    Versioned,
    check,
    child_rows,
    not_blank,
    parent_key,
    reference_to,
    searchable,
    sort_indexes,
    sortable,
    unique,
)
from alchemist.domains.ingredients.models import Ingredient


class Potion(ExternallyReferenced, Versioned, Base):
    __tablename__ = "potions"

    name: Mapped[str] = mapped_column(String(127))
    name_sort: Mapped[str] = sortable("name")
    description: Mapped[str | None] = mapped_column(String(2000))
    search_words: Mapped[str] = searchable("name", "description")

    ingredients: Mapped[list["PotionIngredient"]] = child_rows("PotionIngredient")

    __table_args__ = (
        not_blank("name"),
        *sort_indexes("name", "name_sort", "created_at", "updated_at"),
        Index(None, "search_words", postgresql_using="gin"),
    )


class PotionIngredient(Base):
    __tablename__ = "potion_ingredients"

    potion_id: Mapped[UUID] = parent_key(Potion, primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    ingredient_id: Mapped[UUID] = reference_to(
        Ingredient, "#/ingredients", "Potion {} contains it.", referencing_column="potion_id"
    )
    amount: Mapped[Decimal | None] = mapped_column(Numeric(12, 3))
    unit: Mapped[str | None] = mapped_column(String(16))

    ingredient: Mapped[Ingredient] = relationship(lazy="raise")

    __table_args__ = (
        Index(None, "ingredient_id", "potion_id"),
        unique(
            "potion_id",
            "ingredient_id",
            error=("duplicate", "#/ingredients", "An ingredient occurs twice."),
        ),
        check(
            "amount > 0",
            "amount",
            error=("out-of-range", "#/ingredients", "An amount must be greater than 0."),
        ),
        check(
            "unit <> ''", "unit", error=("too-short", "#/ingredients", "A unit must not be blank.")
        ),
    )
