"""The audit log over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.api import Blueprint, Resource
from alchemist.database import Query

from . import service
from .schemas import AuditEntrySchema, AuditListQuery

blp = Blueprint("audit", __name__, url_prefix="/api/v2/audit", description="Who changed what.")


@blp.route("")
class AuditEntryList(Resource):
    permissions = {"get": "audit:read"}

    @blp.list(AuditEntrySchema, AuditListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List what was changed

        Stock and counters that an order or a redemption moves are told by that, not as changes of
        the product or the coupon.
        """
        return service.list_query(**filters)


@blp.route("/<uuid:pk>")
class AuditEntryItem(Resource):
    permissions = {"get": "audit:read"}

    @blp.retrieve(AuditEntrySchema)
    def get(self, pk: UUID) -> Query:
        """Get one change"""
        return service.by_pk(pk)
