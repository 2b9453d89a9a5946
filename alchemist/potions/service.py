"""What can be done with potions."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy import Select, Uuid, cast, exists, func, insert, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased
from sqlalchemy.sql.elements import Grouping

from alchemist import db
from alchemist.filters import has_words

from .models import WORDS, Potion, PotionIngredient

Line = Mapping[str, Any]
# Of the table and built once: nobody needs the lines as objects.
INSERT_LINES = insert(db.table(PotionIngredient))


@db.query
def get(pk: UUID) -> Select[Any]:
    return select(Potion).where(Potion.pk == pk)


@db.query
def browse(
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
        found = found.where(has_words(WORDS, q))
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


def brew(*, ingredients: Sequence[Line], **values: Any) -> Potion:
    lines = [PotionIngredient(**line) for line in _numbered(ingredients)]
    return Potion(ingredients=lines, **values)


def update(potion: Potion, changes: Mapping[str, Any]) -> None:
    values = dict(changes)
    recipe = values.pop("ingredients", None)
    if recipe is not None and _lines(potion, recipe) != _stored_lines(potion):
        _clear(potion)
        _write(potion, recipe)
        db.touch(potion, "ingredients")
    db.change(potion, values)


def delete(potion: Potion) -> None:
    db.remove(potion)


def _lines(potion: Potion, recipe: Sequence[Line]) -> list[dict[str, Any]]:
    return [{"potion_id": potion.pk} | line for line in _numbered(recipe)]


def _numbered(recipe: Sequence[Line]) -> list[dict[str, Any]]:
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


def _clear(potion: Potion) -> None:
    of_potion = PotionIngredient.potion_id == potion.pk
    db.session.execute(sqlalchemy.delete(PotionIngredient).where(of_potion))


def _write(potion: Potion, recipe: Sequence[Line]) -> None:
    db.session.execute(INSERT_LINES, _lines(potion, recipe))
