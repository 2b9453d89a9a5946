"""Which products a caller may write."""

from uuid import UUID

from alchemist.db import Query
from alchemist.rest.request import request

from . import service

WRITE = "products:write"


def writable(pk: UUID) -> Query:
    return service.get(pk, owner=request.caller.own(WRITE))
