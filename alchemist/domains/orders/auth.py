"""Which orders a caller may see, pay and fulfil."""

from typing import Any
from uuid import UUID

from alchemist.api.request import request
from alchemist.database import Query

from . import service

READ, READ_SALES = "orders:read", "sales:read"
WRITE, FULFIL = "orders:write", "orders:fulfil"


def visibility() -> dict[str, Any]:
    """Return whose orders the caller may see: as a buyer, and with `sales:read` as a seller."""
    own = request.caller.own(READ)
    return {"buyer": own, "seller": own if READ_SALES in request.caller.permissions else None}


def readable_query(pk: UUID) -> Query:
    return service.by_pk(pk, **visibility())


def own_as_buyer(pk: UUID) -> Query:
    return service.by_pk(pk, buyer=request.caller.own(WRITE))


def own_as_seller(pk: UUID) -> Query:
    return service.by_pk(pk, only_seller=request.caller.own(FULFIL))
