"""What can be done with heroes."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import database as db
from alchemist.database import matches_words

from .models import SEARCH_VECTOR, Hero


@db.cached_query
def by_pk(pk: UUID, *, owner: UUID | None = None) -> Select[Any]:
    found = select(Hero).where(Hero.pk == pk)
    return found if owner is None else found.where(Hero.user_id == owner)


@db.cached_query
def list_query(
    *, role: str | None = None, user_id: UUID | None = None, q: str | None = None
) -> Select[Any]:
    found = select(Hero)
    if role is not None:
        found = found.where(Hero.role == role)
    if user_id is not None:
        found = found.where(Hero.user_id == user_id)
    if q is not None:
        found = found.where(matches_words(SEARCH_VECTOR, q))
    return found


def create(**values: Any) -> Hero:
    return Hero(**values)


def update(hero: Hero, changes: Mapping[str, Any]) -> None:
    db.update(hero, changes)


def delete(hero: Hero) -> None:
    db.delete(hero)
