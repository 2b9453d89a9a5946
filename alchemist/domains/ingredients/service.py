"""Queries of ingredients, and the creation of one."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import database as db

from .models import Ingredient


@db.cached_query
def by_pk(pk: UUID) -> Select[Any]:
    return select(Ingredient).where(Ingredient.pk == pk)


@db.cached_query
def list_query(
    *, name: str | None = None, reference: str | None = None, q: str | None = None
) -> Select[Any]:
    return db.select_where(Ingredient, name=name, reference=reference, q=q)


def create(**values: Any) -> Ingredient:
    return Ingredient(**values)
