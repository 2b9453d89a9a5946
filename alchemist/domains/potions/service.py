"""Queries of potions, and the creation of one."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Uuid, cast, exists, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased
from sqlalchemy.sql.elements import Grouping

from alchemist import database as db

from .models import Potion, PotionIngredient


@db.cached_query
def by_pk(pk: UUID) -> Select[Any]:
    return select(Potion).where(Potion.pk == pk)


@db.cached_query
def list_query(
    *,
    name: str | None = None,
    reference: str | None = None,
    q: str | None = None,
    ingredient: list[UUID] | None = None,
    brewable_with: list[UUID] | None = None,
) -> Select[Any]:
    query = db.select_where(Potion, name=name, reference=reference, q=q)
    if ingredient is not None:
        query = _restrict_to_containing_all(query, ingredient)
    if brewable_with is not None:
        query = query.where(Potion.pk.in_(_potion_pks_containing_any(brewable_with)))
        query = query.where(~_needs_more_than(brewable_with))
    return query


def _potion_pks_containing_any(pks: list[UUID]) -> Select[Any]:
    """Select the pks of potions with any of the ingredients.

    DISTINCT makes PostgreSQL evaluate it before the page, with the index on `ingredient_id`.
    """
    contains = PotionIngredient.ingredient_id == func.any(pks)
    return select(PotionIngredient.potion_id).where(contains).distinct()


def _restrict_to_containing_all(query: Select[Any], pks: Any) -> Select[Any]:
    """Restrict the query to the potions that contain all of the ingredients, which are distinct.

    The first and the last ingredient are separate conditions: PostgreSQL estimates how frequent
    they are, and starts from the rarer one.
    """
    requested = Grouping(cast(pks, ARRAY(Uuid())))
    first_pk, last_pk = requested[1], requested[func.cardinality(requested)]
    line = aliased(PotionIngredient)
    with_last = select(line.potion_id).where(line.ingredient_id == last_pk)
    match_count = (
        select(func.count())
        .where(line.potion_id == Potion.pk, line.ingredient_id == func.any(requested))
        .scalar_subquery()
    )
    return (
        query.join(PotionIngredient, PotionIngredient.potion_id == Potion.pk)
        .where(PotionIngredient.ingredient_id == first_pk)
        .where(Potion.pk.in_(with_last))
        # Never greater, but PostgreSQL estimates that `=` is true for only one potion in 200.
        .where(match_count >= func.cardinality(requested))
    )


def _needs_more_than(pks: list[UUID]) -> Any:
    line = aliased(PotionIngredient)
    belongs_to_potion = line.potion_id == Potion.pk
    return exists().where(belongs_to_potion, line.ingredient_id != func.all(pks))


def create(*, ingredients: Sequence[Mapping[str, Any]], **values: Any) -> Potion:
    """Return a new potion with its ingredients."""
    potion = Potion(**values)
    db.set_new_children(potion, "ingredients", ingredients)
    return potion
