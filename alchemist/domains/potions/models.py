"""The tables of potions and of their ingredients."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Numeric, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from alchemist.database import (
    Base,
    ExternallyReferenced,
    Versioned,
    constraint_info,
    not_blank,
    parent_key,
    reference_to,
    searchable,
    sort_indexes,
    sortable,
)
from alchemist.domains.ingredients.models import Ingredient


class Potion(ExternallyReferenced, Versioned, Base):
    __tablename__ = "potions"

    name: Mapped[str] = mapped_column(String(127))
    name_sort: Mapped[str] = sortable("name")
    description: Mapped[str | None] = mapped_column(String(2000))
    search_words: Mapped[str] = searchable("name", "description")

    # The only relationship to a child: the rows belong to one potion and are deleted with it.
    ingredients: Mapped[list["PotionIngredient"]] = relationship(
        lazy="raise", order_by="PotionIngredient.position", passive_deletes="all"
    )

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
        UniqueConstraint(
            "potion_id",
            "ingredient_id",
            info=constraint_info("duplicate", "#/ingredients", "An ingredient occurs twice."),
        ),
        CheckConstraint(
            "amount > 0",
            "amount",
            info=constraint_info(
                "out-of-range", "#/ingredients", "An amount must be greater than 0."
            ),
        ),
        CheckConstraint(
            "unit <> ''",
            "unit",
            info=constraint_info("too-short", "#/ingredients", "A unit must not be blank."),
        ),
    )
