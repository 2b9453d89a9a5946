"""What can be done with stores."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import db
from alchemist.filters import has_words

from .models import WORDS, Store


@db.query
def get(pk: UUID, *, owner: UUID | None = None) -> Select[Any]:
    found = select(Store).where(Store.pk == pk)
    return found if owner is None else found.where(Store.owner_id == owner)


@db.query
def browse(
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
        found = found.where(has_words(WORDS, q))
    return found


def create(**values: Any) -> Store:
    return Store(**values)


def update(store: Store, changes: Mapping[str, Any]) -> None:
    """Change a store; the prices of its products are in its currency, whichever that is."""
    db.change(store, changes)


def delete(store: Store) -> None:
    db.remove(store)
