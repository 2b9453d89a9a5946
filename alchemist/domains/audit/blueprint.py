"""The audit log over HTTP."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Response

from alchemist.api import Blueprint, Resource, openapi, problem_codes
from alchemist.api.request import request
from alchemist.api.response import JsonResponse
from alchemist.database import Query

from . import changes, service
from .schemas import AuditEntrySchema, AuditListQuery, ChangeEntrySchema, ChangeQuery

blp = Blueprint("audit", __name__, url_prefix="/api/v2/audit", description="Who changed which row.")
changes_blp = Blueprint(
    "changes",
    __name__,
    url_prefix="/api/v2/changes",
    description="What has changed since the last time.",
)
CHANGE_SCHEMA = ChangeEntrySchema()
NEXT_LINK = {
    "Link": openapi.header_object(
        'RFC 8288: always `rel="next"`, where to ask again.',
        '<http://127.0.0.1:8000/api/v2/changes?limit=100&after=740>; rel="next"',
    )
}
RETRY_AFTER = {
    "Retry-After": openapi.header_object(
        "Only if the page is empty: seconds to wait.", 1, required=False, type="integer"
    )
}


@blp.route("")
class AuditEntryList(Resource):
    permissions = {"get": "audit:read"}

    @blp.list(AuditEntrySchema, AuditListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List audit entries

        An order or a redemption that changes the `stock` of a product or the `remaining_count` of a
        coupon has an entry for each of these rows, too.
        """
        return service.list_query(**filters)


@blp.route("/<uuid:pk>")
class AuditEntryItem(Resource):
    permissions = {"get": "audit:read"}

    @blp.retrieve(AuditEntrySchema)
    def get(self, pk: UUID) -> Query:
        """Get an audit entry"""
        return service.by_pk(pk)


@changes_blp.route("")
class ChangeFeed(Resource):
    permissions = {"get": "changes:read"}
    operation_ids = {"get": "listChanges"}
    reads_primary = True

    @changes_blp.arguments(ChangeQuery(), location="query")
    @changes_blp.doc(
        responses={
            200: openapi.response_object(
                "The changes.", ChangeEntrySchema(many=True), NEXT_LINK | RETRY_AFTER
            ),
            **openapi.with_common_error_responses(406),
        },
        **problem_codes.as_operation_member(
            "invalid-cursor", *problem_codes.codes_for_query(ChangeQuery())
        ),
    )
    def get(self, args: dict[str, Any]) -> Response:
        """List what has changed

        The feed has every committed change exactly once, none before it is committed, and those of
        one row in the order of its versions. Follow the `next` link for as long as you like: it is
        always there. A transaction that runs long delays the changes that were made after it began.
        """
        cursor, limit = args.pop("after"), args.pop("limit")
        page = changes.fetch_changes_page(CHANGE_SCHEMA, cursor, limit, args)
        query = urlencode({**args, "limit": limit, "after": str(page.next_position)})
        headers = {"Link": f'<{request.public_origin}{request.path}?{query}>; rel="next"'}
        return JsonResponse(
            page.body, headers=headers | ({} if page.size else {"Retry-After": "1"})
        )
