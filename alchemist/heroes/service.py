"""What can be done with heroes."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import db
from alchemist.filters import has_words

from .models import WORDS, Hero


@db.query
def get(pk: UUID, *, owner: UUID | None = None) -> Select[Any]:
    found = select(Hero).where(Hero.pk == pk)
    return found if owner is None else found.where(Hero.user_id == owner)


@db.query
def browse(
    *, role: str | None = None, user_id: UUID | None = None, q: str | None = None
) -> Select[Any]:
    found = select(Hero)
    if role is not None:
        found = found.where(Hero.role == role)
    if user_id is not None:
        found = found.where(Hero.user_id == user_id)
    if q is not None:
        found = found.where(has_words(WORDS, q))
    return found


def create(**values: Any) -> Hero:
    return Hero(**values)


def update(hero: Hero, changes: Mapping[str, Any]) -> None:
    db.change(hero, changes)


def delete(hero: Hero) -> None:
    db.remove(hero)
