"""The state of an idempotency key: its request is running, or how it was answered."""

import json
from typing import Any

from flask import Flask, Response
from sqlalchemy import text
from werkzeug.routing import BaseConverter

from alchemist import database as db
from alchemist import errors

from . import idempotency, openapi, problem_codes
from .api import Api
from .blueprint import Blueprint
from .fields import Enum, Schema, StrictInteger, Text, UtcDateTime
from .request import request
from .resource import Resource
from .response import JsonResponse

# PostgreSQL lists the two halves of the number of an advisory lock.
IS_LOCKED = text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
    " AND (classid::bigint << 32) + objid::bigint = :advisory_lock_number"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)

blp = Blueprint(
    "idempotency-keys",
    __name__,
    url_prefix="/api/v2/idempotency-keys",
    description="What has become of requests whose answers were lost.",
)


class KeyConverter(BaseConverter):
    """An idempotency key in a path: it may have any visible character, slashes too."""

    regex = idempotency.KEY_PATTERN.pattern
    part_isolating = False

    def to_json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": rf"^{idempotency.KEY_PATTERN.pattern}$"}


class IdempotencyKeySchema(Schema):
    key = Text(
        max=255,
        dump_only=True,
        example="checkout-7",
        description="The `Idempotency-Key` of the request.",
    )
    state = Enum(
        *("in-progress", "done"),
        name="IdempotencyKeyState",
        dump_only=True,
        description="`in-progress` while the first request runs: then all other fields are null.",
        example="done",
    )
    method = Text(
        max=16,
        dump_only=True,
        allow_none=True,
        example="POST",
        description="The method of the request.",
    )
    path = Text(
        max=2000,
        dump_only=True,
        allow_none=True,
        example="/api/v2/ingredients",
        description="The path of the request, without its query.",
    )
    status = StrictInteger(
        min=200,
        max=499,
        dump_only=True,
        allow_none=True,
        description="The status of the answer.",
        example=201,
    )
    location = Text(
        max=2000,
        dump_only=True,
        allow_none=True,
        example="/api/v2/ingredients/0195611f-cab7-7257-82b1-5963602913a4",
        description="The path of the row that the request created; null for others.",
    )
    created_at = UtcDateTime(
        dump_only=True, allow_none=True, description="When the request was made."
    )
    expires_at = UtcDateTime(
        dump_only=True, allow_none=True, description="When the key is forgotten."
    )


SCHEMA = IdempotencyKeySchema()


@blp.route("/<idempotency_key:key>")
class IdempotencyKeyItem(Resource):
    permissions = {"get": "me:read"}
    allows_encoded_slashes = True
    reads_primary = True

    @blp.doc(
        responses={
            200: openapi.response_object("The state.", IdempotencyKeySchema, {}),
            **openapi.with_common_error_responses(404, 406),
        },
        **problem_codes.as_operation_member(*problem_codes.QUERY_CODES),
    )
    def get(self, key: str) -> Response:
        """Get the state of an idempotency key

        Tells a client that has lost an answer what has become of its request, without repeating it.
        The keys are those of the caller. Encode the key for a path: `/` is `%2F`. The answer is 404
        for a key that was not used in the last 24 hours, and for one whose request left nothing
        behind: it was rejected with 400, 401, 403, 404, 412, 415, 422 or 428, or has failed.
        """
        request.reject_parameters()
        # First the lock, then the row: a request that ends in between has left its row.
        [(is_locked,)] = db.fetch_all(
            IS_LOCKED, {"advisory_lock_number": idempotency.advisory_lock_number(key)}
        )
        stored = idempotency.find_state_of_first_request(key)
        if stored is None and not is_locked:
            raise errors.NotFound("No request of yours has this key.")
        values: dict[str, Any] = {"key": key, "state": "in-progress"} | dict.fromkeys(
            ("method", "path", "status", "location", "created_at", "expires_at")
        )
        if stored is not None:
            values |= {"state": "done", **stored}
        return JsonResponse(json.dumps(SCHEMA.dump(values)))


def init_app(app: Flask, api: Api) -> None:
    """Let paths have idempotency keys."""
    app.url_map.converters["idempotency_key"] = KeyConverter
    api.register_converter(KeyConverter, KeyConverter.to_json_schema)
