"""Queries of stores, and the operations that change them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from alchemist import database as db
from alchemist.database import matches_words
from alchemist.domains.users import service as users

from .models import Store


@db.cached_query
def by_pk(pk: UUID, *, owner_id: UUID | None = None) -> Select[Any]:
    query = select(Store).where(Store.pk == pk)
    return query if owner_id is None else query.where(Store.owner_id == owner_id)


@db.cached_query
def list_query(
    *,
    city: str | None = None,
    country: str | None = None,
    currency: str | None = None,
    owner_id: UUID | None = None,
    reference: str | None = None,
    q: str | None = None,
) -> Select[Any]:
    query = select(Store)
    if city is not None:
        query = query.where(Store.city == city)
    if country is not None:
        query = query.where(Store.country == country)
    if currency is not None:
        query = query.where(Store.currency == currency)
    if owner_id is not None:
        query = query.where(Store.owner_id == owner_id)
    if reference is not None:
        query = query.where(Store.reference == reference)
    if q is not None:
        query = query.where(matches_words(Store.search_words, q))
    return query


def create(**values: Any) -> Store:
    return Store(**values)


def update(store: Store, changes: Mapping[str, Any]) -> None:
    """Update a store. A new currency applies to its products; their amounts are not converted.

    Raises Conflict if the new currency lacks the amount of a product.
    """
    db.update(store, changes)


def clear_contacts(owner_id: UUID) -> None:
    """Remove the phone numbers and e-mails of the stores of a user who is anonymised."""
    owned = select(Store).where(Store.owner_id == owner_id).order_by(Store.pk).with_for_update()
    for store in db.session.scalars(owned, execution_options={"populate_existing": True}):
        db.update(store, {"phone": None, "email": None})


users.on_anonymise.append(clear_contacts)


def delete(store: Store) -> None:
    db.delete(store)


@db.cached_query
def _currency_query(pk: UUID) -> Select[Any]:
    return select(Store.currency).where(Store.pk == pk)


def currency_of(pk: UUID) -> str | None:
    """Return the currency of a store, or None if it does not exist."""
    query = _currency_query(pk)
    row = db.fetch_one(query.select, query.parameters)
    return row[0] if row else None


@db.cached_query
def _of_other_owner(pk: UUID | str, user_id: UUID) -> Select[Any]:
    return select(Store.pk).where(Store.pk == pk, Store.owner_id.is_distinct_from(user_id))


def exists_of_other_owner(pk: UUID | str, user_id: UUID) -> bool:
    """Return whether the store exists and the user is not its owner."""
    query = _of_other_owner(pk, user_id)
    return db.fetch_one(query.select, query.parameters) is not None
