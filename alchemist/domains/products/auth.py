"""Restricts products to those that the caller may change."""

from uuid import UUID

from alchemist.api.request import request
from alchemist.database import Query

from . import service

WRITE = "products:write"


def writable_query(pk: UUID) -> Query:
    return service.by_pk(pk, owner_id=request.caller.owner_filter(WRITE))
