"""Queries of stores, and the operations that change them."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select

from alchemist import database as db
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
    return db.select_where(
        Store,
        city=city,
        country=country,
        currency=currency,
        owner_id=owner_id,
        reference=reference,
        q=q,
    )


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
def _currencies_query(pks: list[UUID]) -> Select[Any]:
    return select(Store.pk, Store.currency).where(Store.pk == func.any(pks))


def currencies_by_store(pks: Collection[UUID]) -> dict[UUID, str]:
    """Return the currencies of the stores that exist, by their pk."""
    query = _currencies_query(list(pks))
    rows = db.fetch_all(query.select, query.parameters) if pks else ()
    return {pk: currency for pk, currency in rows}  # noqa: C416  a row is no pair for mypy


@db.cached_query
def _of_other_owners_query(pks: list[UUID], user_id: UUID) -> Select[Any]:
    return select(Store.pk).where(
        Store.pk == func.any(pks), Store.owner_id.is_distinct_from(user_id)
    )


def pks_of_other_owners(pks: Collection[UUID], user_id: UUID) -> set[UUID]:
    """Return the pks of those of the stores whose owner is not the user."""
    query = _of_other_owners_query(list(pks), user_id)
    return {pk for (pk,) in db.fetch_all(query.select, query.parameters)}
