"""What the decorators of views share: read a representation, lock a row, load a body, create."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from flask import Response
from marshmallow import Schema

from alchemist import database as db
from alchemist import errors

from . import etags, fields, json_select, reference_lookup
from .json_body import AuthorizeReferences, load_body
from .json_insert import insert_returning_json
from .request import current_request, request
from .response import JsonResponse

QueryFactory = Callable[..., db.Query]
EMPTY_BODY_SCHEMA = fields.Schema()


class Listing(NamedTuple):
    """What a decorated view lists: `view` returns the query of the rows for filters."""

    schema: Schema
    view: Callable[..., db.Query]


class Creation(NamedTuple):
    """What a decorated view creates: `view` returns a new row, which `find` finds by its key."""

    schema: Schema
    request_schema: Schema
    view: Callable[..., Any]
    find: QueryFactory
    authorize: AuthorizeReferences | None


class Update(NamedTuple):
    """What a decorated view updates: a row that `find` finds, with the values of a merge patch."""

    find: QueryFactory
    patch: Schema
    view: Callable[..., Any]


class Representation(NamedTuple):
    """The JSON of a row, and the entity tag of exactly that JSON."""

    body: str
    etag: str

    def to_response(self, status: int = 200, **headers: str) -> Response:
        return JsonResponse(self.body, status, {"ETag": self.etag, **headers})


def get_representation(schema: Schema, query: db.Query) -> Representation:
    """Return the representation of the row that `query` finds; raise NotFound or Forbidden."""
    row = db.fetch_one(json_select.select_json(query.select, schema), query.parameters)
    if row is None:
        raise db.forbidden_or_not_found(query)
    return Representation(row[0], etags.compute_etag(row[0]))


def lock_and_check_if_match(
    schema: Schema, query: db.Query, *, require_if_match: bool = True
) -> tuple[Any, dict[str, Any]]:
    """Lock the row, then compare If-Match with its representation; return both.

    An If-Match that is not required is still heeded (RFC 9110 §13.1.1). The lock comes first: after
    a wait, the representation is the one that the other writer left.
    """
    row = db.lock_row(query)
    if not require_if_match and "If-Match" not in request.headers:
        return row, {}
    representation = get_representation(schema, query)
    current = json.loads(representation.body)
    etags.require_match(request.headers.get("If-Match"), representation.etag, current)
    return row, current


def create_row(
    view: Callable[..., Any],
    schema: Schema,
    request_schema: Schema | None,
    find: QueryFactory,
    *,
    in_session: bool,
    path: Mapping[str, UUID],
    authorize: AuthorizeReferences | None = None,
) -> tuple[Any, Representation]:
    """Call the view with the values of the body, store the row that it returns; return both."""
    if in_session:
        row = view(*load_body_as_args(request_schema, authorize=authorize), **path)
        return row, get_representation(schema, find(pk=row.pk, **path))
    query_errors = current_request().unexpected_parameter_errors()
    body = load_body(
        request_schema or EMPTY_BODY_SCHEMA,
        query_errors=query_errors,
        defer_lookup=True,
        authorize=authorize,
    )
    try:
        row = view(body.values, **path)
    except errors.UnprocessableContent as error:
        reference_errors = reference_lookup.look_up_reference_errors(body.references)
        raise errors.UnprocessableContent.from_errors(error.errors + reference_errors) from error
    inserted = insert_returning_json(schema, row, body.references)
    if inserted is None:
        return row, get_representation(schema, find(pk=row.pk, **path))
    if inserted.body is None:
        details = [reference.error for reference in inserted.unknown]
        raise errors.UnprocessableContent.from_errors(details)
    return row, Representation(inserted.body, etags.compute_etag(inserted.body))


def load_body_as_args(
    schema: Schema | None,
    current: Mapping[str, Any] | None = None,
    authorize: AuthorizeReferences | None = None,
) -> list[Any]:
    """Return the values of the body in a list; without a schema, it must be absent or `{}`."""
    if schema is not None or request.body:
        query_errors = request.unexpected_parameter_errors()
        body = load_body(
            schema or EMPTY_BODY_SCHEMA, current, query_errors=query_errors, authorize=authorize
        )
        return [body.values] if schema else []
    request.reject_parameters()
    return []
