"""What can be done with stores."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import database as db
from alchemist.database import matches_words

from .models import SEARCH_VECTOR, Store


@db.cached_query
def by_pk(pk: UUID, *, owner: UUID | None = None) -> Select[Any]:
    found = select(Store).where(Store.pk == pk)
    return found if owner is None else found.where(Store.owner_id == owner)


@db.cached_query
def list_query(
    *,
    city: str | None = None,
    country: str | None = None,
    currency: str | None = None,
    owner_id: UUID | None = None,
    q: str | None = None,
) -> Select[Any]:
    found = select(Store)
    if city is not None:
        found = found.where(Store.city == city)
    if country is not None:
        found = found.where(Store.country == country)
    if currency is not None:
        found = found.where(Store.currency == currency)
    if owner_id is not None:
        found = found.where(Store.owner_id == owner_id)
    if q is not None:
        found = found.where(matches_words(SEARCH_VECTOR, q))
    return found


def create(**values: Any) -> Store:
    return Store(**values)


def update(store: Store, changes: Mapping[str, Any]) -> None:
    """Change a store; the prices of its products are in its currency, whichever that is."""
    db.update(store, changes)


def delete(store: Store) -> None:
    db.delete(store)
