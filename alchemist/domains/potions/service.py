"""What can be done with potions."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy import Select, Uuid, cast, exists, func, insert, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased
from sqlalchemy.sql.elements import Grouping

from alchemist import database as db
from alchemist.database import matches_words

from .models import SEARCH_VECTOR, Potion, PotionIngredient

RecipeLine = Mapping[str, Any]
# Of the table and built once: nobody needs the lines as objects.
INSERT_RECIPE_LINES = insert(db.table(PotionIngredient))


@db.cached_query
def by_pk(pk: UUID) -> Select[Any]:
    return select(Potion).where(Potion.pk == pk)


@db.cached_query
def list_query(
    *,
    name: str | None = None,
    q: str | None = None,
    ingredient: list[UUID] | None = None,
    brewable_with: list[UUID] | None = None,
) -> Select[Any]:
    found = select(Potion)
    if name is not None:
        found = found.where(Potion.name == name)
    if q is not None:
        found = found.where(matches_words(SEARCH_VECTOR, q))
    if ingredient is not None:
        found = _containing_all(found, ingredient)
    if brewable_with is not None:
        found = found.where(Potion.pk.in_(_containing_any(brewable_with)))
        found = found.where(~_needs_more_than(brewable_with))
    return found


def _containing_any(pks: list[UUID]) -> Select[Any]:
    """Return the keys of potions; distinct ones are planned apart from the page, by their index."""
    contains = PotionIngredient.ingredient_id == func.any(pks)
    return select(PotionIngredient.potion_id).where(contains).distinct()


def _containing_all(found: Select[Any], pks: Any) -> Select[Any]:
    """Restrict to the potions that contain all of these ingredients, given once each.

    Of the first and the last PostgreSQL knows how frequent they are, and starts from the rarer one.
    """
    wanted = Grouping(cast(pks, ARRAY(Uuid())))
    of_potion, ingredient_id = PotionIngredient.potion_id, PotionIngredient.ingredient_id
    last = wanted[func.cardinality(wanted)]
    other = aliased(PotionIngredient)
    number = (
        select(func.count())
        .where(other.potion_id == Potion.pk, other.ingredient_id == func.any(wanted))
        .scalar_subquery()
    )
    return (
        found.join(PotionIngredient, of_potion == Potion.pk)
        .where(ingredient_id == wanted[1])
        .where(Potion.pk.in_(select(other.potion_id).where(other.ingredient_id == last)))
        # It is never more. Of `=` PostgreSQL would expect that it holds for one potion in 200.
        .where(number >= func.cardinality(wanted))
    )


def _needs_more_than(pks: list[UUID]) -> Any:
    line = aliased(PotionIngredient)
    of_potion = line.potion_id == Potion.pk
    return exists().where(of_potion, line.ingredient_id != func.all(pks))


def brew(*, ingredients: Sequence[RecipeLine], **values: Any) -> Potion:
    lines = [PotionIngredient(**line) for line in _with_positions(ingredients)]
    return Potion(ingredients=lines, **values)


def update(potion: Potion, changes: Mapping[str, Any]) -> None:
    values = dict(changes)
    recipe = values.pop("ingredients", None)
    if recipe is not None and _lines(potion, recipe) != _stored_lines(potion):
        _delete_lines(potion)
        _insert_lines(potion, recipe)
        db.mark_modified(potion, "ingredients")
    db.update(potion, values)


def delete(potion: Potion) -> None:
    db.delete(potion)


def _lines(potion: Potion, recipe: Sequence[RecipeLine]) -> list[dict[str, Any]]:
    return [{"potion_id": potion.pk} | line for line in _with_positions(recipe)]


def _with_positions(recipe: Sequence[RecipeLine]) -> list[dict[str, Any]]:
    return [
        {
            "position": position,
            "ingredient_id": line["ingredient_id"],
            "amount": line.get("amount"),
            "unit": line.get("unit"),
        }
        for position, line in enumerate(recipe)
    ]


def _stored_lines(potion: Potion) -> list[dict[str, Any]]:
    lines = PotionIngredient.__table__
    stored = select(lines).where(lines.c.potion_id == potion.pk).order_by(lines.c.position)
    return [dict(line) for line in db.session.execute(stored).mappings()]


def _delete_lines(potion: Potion) -> None:
    of_potion = PotionIngredient.potion_id == potion.pk
    db.session.execute(sqlalchemy.delete(PotionIngredient).where(of_potion))


def _insert_lines(potion: Potion, recipe: Sequence[RecipeLine]) -> None:
    db.session.execute(INSERT_RECIPE_LINES, _lines(potion, recipe))
