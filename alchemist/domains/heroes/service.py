"""Queries of heroes, and the operations that change them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import database as db

from .models import Hero


@db.cached_query
def by_pk(pk: UUID, *, owner_id: UUID | None = None) -> Select[Any]:
    query = select(Hero).where(Hero.pk == pk)
    return query if owner_id is None else query.where(Hero.user_id == owner_id)


@db.cached_query
def list_query(
    *, role: str | None = None, user_id: UUID | None = None, q: str | None = None
) -> Select[Any]:
    return db.select_where(Hero, role=role, user_id=user_id, q=q)


def create(**values: Any) -> Hero:
    return Hero(**values)


def update(hero: Hero, changes: Mapping[str, Any]) -> None:
    db.update(hero, changes)


def delete(hero: Hero) -> None:
    db.delete(hero)


@db.cached_query
def _hero_with_other_owner(pk: UUID | str, user_id: UUID) -> Select[Any]:
    return select(Hero.pk).where(Hero.pk == pk, Hero.user_id.is_distinct_from(user_id))


def exists_with_other_owner(pk: UUID | str, user_id: UUID) -> bool:
    """Return whether the hero exists and the user is not its owner."""
    query = _hero_with_other_owner(pk, user_id)
    return db.fetch_one(query.select, query.parameters) is not None
