"""What can be done with ingredients."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import db
from alchemist.filters import has_words

from .models import WORDS, Ingredient


@db.query
def get(pk: UUID) -> Select[Any]:
    return select(Ingredient).where(Ingredient.pk == pk)


@db.query
def browse(*, name: str | None = None, q: str | None = None) -> Select[Any]:
    found = select(Ingredient)
    if name is not None:
        found = found.where(Ingredient.name == name)
    if q is not None:
        found = found.where(has_words(WORDS, q))
    return found


def create(**values: Any) -> Ingredient:
    return Ingredient(**values)


def update(ingredient: Ingredient, changes: Mapping[str, Any]) -> None:
    db.change(ingredient, changes)


def delete(ingredient: Ingredient) -> None:
    db.remove(ingredient)
