"""Restricts products to those that the caller may change."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from alchemist import errors
from alchemist.api.references import Reference, json_pointer
from alchemist.api.request import request
from alchemist.database import Query
from alchemist.domains.stores import service as stores
from alchemist.domains.stores.models import Store

from . import service

WRITE = "products:write"


def writable_query(pk: UUID) -> Query:
    query = service.by_pk(pk, owner_id=request.caller.owner_filter(WRITE))
    return query.or_forbidden_if_in(service.by_pk(pk), f"{WRITE}:any")


def check_store_owner(references: Iterable[Reference]) -> None:
    """Raise Forbidden if a product refers to the store of another user."""
    user_id = request.caller.owner_filter(WRITE)
    to_stores: list[Any] = [each for each in references if each.target.model is Store]
    if user_id is None or not to_stores:
        return
    if forbidden := stores.pks_of_other_owners({each.key for each in to_stores}, user_id):
        pointers = [json_pointer(each.path) for each in to_stores if each.key in forbidden]
        raise errors.Forbidden.missing_permission(f"{WRITE}:any", pointers)
