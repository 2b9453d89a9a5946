"""Which orders a caller may see, pay and fulfil."""

from typing import Any
from uuid import UUID

from alchemist.db import Query
from alchemist.rest.request import request

from . import service

READ, READ_SALES = "orders:read", "sales:read"
WRITE, FULFIL = "orders:write", "orders:fulfil"


def reach() -> dict[str, Any]:
    """Return whose orders the caller may see: as a buyer, and with `sales:read` as a seller."""
    own = request.caller.own(READ)
    return {"buyer": own, "seller": own if READ_SALES in request.caller.permissions else None}


def readable(pk: UUID) -> Query:
    return service.get(pk, **reach())


def bought(pk: UUID) -> Query:
    return service.get(pk, buyer=request.caller.own(WRITE))


def sold(pk: UUID) -> Query:
    return service.get(pk, only_seller=request.caller.own(FULFIL))
