"""Restricts products to those that the caller may change."""

from collections.abc import Iterable
from uuid import UUID

from alchemist import errors
from alchemist.api.references import Reference
from alchemist.api.request import request
from alchemist.database import Query
from alchemist.domains.stores import service as stores
from alchemist.domains.stores.models import Store

from . import service

WRITE = "products:write"


def writable_query(pk: UUID) -> Query:
    query = service.by_pk(pk, owner_id=request.caller.owner_filter(WRITE))
    return query.or_forbidden(service.by_pk(pk), f"{WRITE}:any")


def check_store_owner(references: Iterable[Reference]) -> None:
    """Raise Forbidden if a product refers to the store of another user."""
    user_id = request.caller.owner_filter(WRITE)
    for reference in references:
        if (
            user_id is not None
            and reference.target.model is Store
            and stores.exists_of_other_owner(reference.key, user_id)
        ):
            raise errors.Forbidden.missing_permission(f"{WRITE}:any")
