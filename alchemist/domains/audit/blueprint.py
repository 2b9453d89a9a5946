"""The audit log over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.api import Blueprint, Resource
from alchemist.database import Query

from . import service
from .schemas import AuditEntrySchema, AuditListQuery

blp = Blueprint("audit", __name__, url_prefix="/api/v2/audit", description="Who changed which row.")


@blp.route("")
class AuditEntryList(Resource):
    permissions = {"get": "audit:read"}

    @blp.list(AuditEntrySchema, AuditListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List audit entries

        When an order or a redemption changes a stock or a counter, the entry is one of the order or
        the redemption, not of the product or the coupon.
        """
        return service.list_query(**filters)


@blp.route("/<uuid:pk>")
class AuditEntryItem(Resource):
    permissions = {"get": "audit:read"}

    @blp.retrieve(AuditEntrySchema)
    def get(self, pk: UUID) -> Query:
        """Get an audit entry"""
        return service.by_pk(pk)
