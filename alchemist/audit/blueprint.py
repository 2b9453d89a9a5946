"""The audit log over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.db import Query
from alchemist.rest import Blueprint, Resource

from . import service
from .schemas import AuditEntrySchema, AuditFilters

blp = Blueprint("audit", __name__, url_prefix="/api/v2/audit", description="Who changed what.")


@blp.route("")
class AuditLog(Resource):
    permissions = {"get": "audit:read"}

    @blp.lists(AuditEntrySchema, AuditFilters)
    def get(self, filters: dict[str, Any]) -> Query:
        """List what was changed

        Stock and counters that an order or a redemption moves are told by that, not as changes of
        the product or the coupon.
        """
        return service.browse(**filters)


@blp.route("/<uuid:pk>")
class OneAuditEntry(Resource):
    permissions = {"get": "audit:read"}

    @blp.shows(AuditEntrySchema)
    def get(self, pk: UUID) -> Query:
        """Get one change"""
        return service.get(pk)
