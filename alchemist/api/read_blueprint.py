"""Decorators of views that read: they return a page of a list, or an item."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from flask import Response

from alchemist import errors
from alchemist.api.pagination import MAX_LIMIT, ListQuerySchema, Page, TextFormat, paginate
from alchemist.database import Query

from . import etags, fields, openapi, problem_codes, projection, rate_limits
from .base_blueprint import BaseBlueprint, View
from .list_responses import MEDIA_TYPES, list_response, preferred_text_format
from .operations import Listing, Representation, get_representation
from .query_string import QUERY_PARSER
from .request import current_request, request

PAGINATION_PARAMETERS = ("limit", "cursor", "sort", "count", *projection.PARAMETERS)
# The filters of every list, which `paginate` applies.
ROW_FILTERS = ("only_pks", "updated_after")


class ItemQuery(fields.Schema):
    """The query of an item, to which its projection is added."""


class ReadBlueprint(BaseBlueprint):
    """The decorators of v2's views that read."""

    def list(
        self, schema: type[fields.Schema], query: type[ListQuerySchema]
    ) -> Callable[[View], View]:
        """Return a page of the query that the view returns for the filters of the request."""
        response_schema, projecting_query = (
            schema(),
            projection.with_projection_parameters(query, schema),
        )
        query_schema, text_query_schema = query(), projecting_query.for_text_formats()
        projecting_query_schema = projecting_query()

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                current = current_request()
                text_format = preferred_text_format()
                if text_format:
                    parsed_schema = text_query_schema
                else:
                    # Two further parameters would make every request slower.
                    has_projection = projection.may_be_requested(current.query_string)
                    parsed_schema = projecting_query_schema if has_projection else query_schema
                values = _parse_list_query(parsed_schema)
                page = _fetch_page(
                    partial(view, self, **path), response_schema, values, text_format
                )
                return list_response(page, text_format)

            return self._document_list(wrapper, view, schema, projecting_query_schema)

        return decorator

    def _document_list(
        self, wrapper: View, view: View, schema: type[fields.Schema], query_schema: fields.Schema
    ) -> View:
        page = openapi.response_object("A page.", schema(many=True), openapi.LIST_HEADERS)
        page["content"] |= {name: {"schema": {"type": "string"}} for name in MEDIA_TYPES[1:]}
        responses = {
            200: page,
            **openapi.with_common_error_responses(
                406, *projection.expansion_error_statuses(schema)
            ),
        }
        codes = problem_codes.as_operation_member(
            "invalid-cursor", *problem_codes.codes_for_query(query_schema)
        )
        operation = openapi.documented_like(wrapper, view, responses=responses, **codes)
        operation.media_types = MEDIA_TYPES  # type: ignore[attr-defined]
        operation.listing = Listing(schema(), view)  # type: ignore[attr-defined]
        return self._with_documented_query(operation, query_schema)

    def _with_documented_query(self, operation: View, query_schema: fields.Schema) -> View:
        """Return the operation with flask-smorest's documentation of the query.

        The wrapper that flask-smorest adds to each request is left out.
        """
        documented: Any = self.arguments(query_schema, location="query")(operation)
        operation._apidoc = documented._apidoc  # type: ignore[attr-defined]
        return operation

    def retrieve(self, schema: type[fields.Schema]) -> Callable[[View], View]:
        """Return the row that the view's query finds; 304 if If-None-Match names its ETag."""
        response_schema = schema()
        query_schema = projection.with_projection_parameters(ItemQuery, schema)()

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                query = view(self, **path)
                if request.query_string:
                    representation = _get_projected_representation(
                        response_schema, query, query_schema
                    )
                else:
                    representation = get_representation(response_schema, query)
                if_none_match = request.headers.get("If-None-Match")
                if if_none_match and etags.matches_weakly(if_none_match, representation.etag):
                    return Response(status=304, headers={"ETag": representation.etag})
                return representation.to_response()

            return self._document_item(wrapper, view, schema, query_schema)

        return decorator

    def _document_item(
        self, wrapper: View, view: View, schema: type[fields.Schema], query_schema: fields.Schema
    ) -> View:
        responses = {
            200: openapi.response_object("The row.", schema, openapi.ETAG_HEADERS),
            304: openapi.response_object("The client has it already.", None, openapi.ETAG_HEADERS),
            **openapi.with_common_error_responses(
                404, 406, *projection.expansion_error_statuses(schema)
            ),
        }
        operation = openapi.documented_like(
            wrapper,
            view,
            responses=responses,
            parameters=[openapi.IF_NONE_MATCH],
            **problem_codes.as_operation_member(*problem_codes.codes_for_query(query_schema)),
        )
        return self._with_documented_query(operation, query_schema)


def _parse_list_query(schema: fields.Schema) -> dict[str, Any]:
    """Return the values of the query; raise UnprocessableContent, which depends on Accept.

    Text formats have another maximum of `limit`.
    """
    try:
        values: dict[str, Any] = QUERY_PARSER.parse(schema, request, location="query")
    except errors.UnprocessableContent as error:
        error.headers["Vary"] = "Accept"
        raise
    return values


def _get_projected_representation(
    schema: fields.Schema, query: Query, query_schema: fields.Schema
) -> Representation:
    """Return the representation that the query string chooses; a missing row is the first error."""
    try:
        values = QUERY_PARSER.parse(query_schema, request, location="query")
    except errors.UnprocessableContent:
        get_representation(schema, query)
        raise
    return get_representation(*projection.apply_projection(schema, query, values))


def _fetch_page(
    find: Callable[[dict[str, Any]], Query],
    schema: fields.Schema,
    values: dict[str, Any],
    text_format: TextFormat | None,
) -> Page:
    """Return the page that the values of a query describe; `find` is the view of the list."""
    if values["limit"] > MAX_LIMIT:
        rate_limits.count_costly_request_or_raise()
    filters = {name: value for name, value in values.items() if name not in PAGINATION_PARAMETERS}
    rate_limits.shorten_timeout_of_anonymous_searches()
    # A cursor is valid for one path with one set of filters.
    list_key = f"{current_request().path.rstrip('/')} {sorted(filters.items())}"
    own_filters = {name: filters[name] for name in filters if name not in ROW_FILTERS}
    rows = find(own_filters)
    chosen_schema, rows = projection.apply_projection(schema, rows, values)
    return paginate(chosen_schema, rows, list_key, values, text_format)
