"""Decorators that implement an operation and add it to the OpenAPI document."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import flask_smorest
from flask import Response

from alchemist import errors
from alchemist.api.pagination import MAX_LIMIT, ListQuerySchema, paginate
from alchemist.database import Query

from . import etags, fields, openapi, problem_codes, projection, rate_limits
from .json_body import AuthorizeReferences
from .list_responses import MEDIA_TYPES, list_response, preferred_text_format
from .operations import (
    EMPTY_BODY_SCHEMA,
    Creation,
    Listing,
    QueryFactory,
    Representation,
    Update,
    create_row,
    get_representation,
    load_body_as_args,
    lock_and_check_if_match,
)
from .query_string import QueryParser
from .request import JSON, MERGE_PATCH, current_request, request
from .resource import Resource

View = Callable[..., Any]
# The errors of the query of an operation that writes.
DRY_RUN_CODES = ("not-one-of", *problem_codes.QUERY_CODES)
PAGINATION_PARAMETERS = ("limit", "cursor", "sort", "count", *projection.PARAMETERS)
# The filters of every list, which `paginate` applies.
ROW_FILTERS = ("only_pks", "updated_after")
QUERY_PARSER = QueryParser()


class BaseBlueprint(flask_smorest.Blueprint):
    """What the blueprints of all versions share: permissions, and parsed arguments."""

    ARGUMENTS_PARSER = QUERY_PARSER

    def add_url_rule(
        self, rule: str, endpoint: Any = None, view_func: Any = None, **options: Any
    ) -> None:
        """Add the name and the permission of each operation to its documentation."""
        if isinstance(view_func, type) and issubclass(view_func, Resource):
            for method, permission in view_func.permissions.items():
                view = getattr(view_func, method)
                operation = {
                    "operationId": view_func.operation_id(method),
                    "x-permission": permission,
                }
                setattr(view_func, method, openapi.documented_like(view, view, **operation))
        super().add_url_rule(rule, endpoint, view_func, **options)

    def arguments(
        self,
        schema: Any,
        *,
        location: str = "json",
        authorize: AuthorizeReferences | None = None,
        **options: Any,
    ) -> Callable[[View], View]:
        """Pass the view the values of the body, or of the query as flask-smorest does."""
        if location != "json":
            decorate: Callable[[View], View] = super().arguments(
                schema, location=location, **options
            )
            return decorate
        request_schema = schema()

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: Any) -> Any:
                return view(self, *load_body_as_args(request_schema, authorize=authorize), **path)

            return openapi.documented_like(wrapper, view, **_request_body_documentation(schema))

        return decorator


class ItemQuery(fields.Schema):
    """The query of an item, to which its projection is added."""


class Blueprint(BaseBlueprint):
    """The decorators of v2's views; `resources` are the resources by their path."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resources: dict[str, type[Resource]] = {}

    def add_url_rule(
        self, rule: str, endpoint: Any = None, view_func: Any = None, **options: Any
    ) -> None:
        """Add the error of a malformed `dry_run` to the operations that write."""
        self.resources[f"{self.url_prefix}{rule}"] = view_func
        for method in getattr(view_func, "permissions", {}).keys() & {"post", "patch", "delete"}:
            view = getattr(view_func, method)
            codes = problem_codes.as_operation_member(*DRY_RUN_CODES)
            setattr(view_func, method, openapi.documented_like(view, view, **codes))
        super().add_url_rule(rule, endpoint, view_func, **options)

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
                if values["limit"] > MAX_LIMIT:
                    rate_limits.count_costly_request_or_raise()
                filters = {
                    name: value
                    for name, value in values.items()
                    if name not in PAGINATION_PARAMETERS
                }
                rate_limits.shorten_timeout_of_anonymous_searches()
                # A cursor is valid for one path with one set of filters.
                list_key = f"{current.path.rstrip('/')} {sorted(filters.items())}"
                own_filters = {name: filters[name] for name in filters if name not in ROW_FILTERS}
                rows = view(self, own_filters, **path)
                chosen_schema, rows = projection.apply_projection(response_schema, rows, values)
                page = paginate(chosen_schema, rows, list_key, values, text_format)
                return list_response(page, text_format)

            page = openapi.response_object("A page.", schema(many=True), openapi.LIST_HEADERS)
            page["content"] |= {name: {"schema": {"type": "string"}} for name in MEDIA_TYPES[1:]}
            responses = {
                200: page,
                **openapi.with_common_error_responses(
                    406, *projection.expansion_error_statuses(schema)
                ),
            }
            codes = problem_codes.as_operation_member(
                "invalid-cursor", *problem_codes.codes_for_query(projecting_query_schema)
            )
            operation = openapi.documented_like(wrapper, view, responses=responses, **codes)
            operation.media_types = MEDIA_TYPES  # type: ignore[attr-defined]
            operation.listing = Listing(response_schema, view)  # type: ignore[attr-defined]
            return self._with_documented_query(operation, projecting_query_schema)

        return decorator

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

            responses = {
                200: openapi.response_object("The row.", schema, openapi.ETAG_HEADERS),
                304: openapi.response_object(
                    "The client has it already.", None, openapi.ETAG_HEADERS
                ),
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

        return decorator

    def create(
        self,
        schema: type[fields.Schema],
        find: QueryFactory,
        *,
        body: type[fields.Schema] | None,
        in_session: bool = False,
        authorize: AuthorizeReferences | None = None,
        problems: Iterable[str] = (),
    ) -> Callable[[View], View]:
        """Pass the view the values of the body, store the new row that it returns, return 201.

        The row and its children are stored by a single statement that commits itself. With
        `in_session`, the view stores the row itself, in the transaction of the session. `authorize`
        raises Forbidden for references in the body that the caller may not make. `problems` are the
        codes of conflicts, and of errors that do not follow from the fields of the body.
        """
        response_schema, request_schema = schema(), body() if body else None

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                row, representation = create_row(
                    partial(view, self),
                    response_schema,
                    request_schema,
                    find,
                    in_session=in_session,
                    path=path,
                    authorize=authorize,
                )
                location = f"{current_request().path.rstrip('/')}/{row.pk}"
                return representation.to_response(201, Location=location)

            headers = openapi.ETAG_HEADERS | openapi.LOCATION_HEADERS
            created = openapi.response_object("Created.", schema, headers)
            responses = {201: created, **openapi.with_common_error_responses(406, 409, 413, 415)}
            documented = _request_body_documentation(body, problems)
            create = openapi.documented_like(wrapper, view, responses=responses, **documented)
            create.is_single_statement = not in_session  # type: ignore[attr-defined]
            create.creation = Creation(  # type: ignore[attr-defined]
                response_schema, request_schema or EMPTY_BODY_SCHEMA, view, find, authorize
            )
            return create

        return decorator

    def update(
        self, schema: type[fields.Schema], find: QueryFactory, *, problems: Iterable[str] = ()
    ) -> Callable[[View], View]:
        """Lock the row, check If-Match, pass row and merge patch (RFC 7396), return the new row.

        `problems` are as in `create`.
        """
        response_schema, patch = schema(), schema.for_patch()

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                row, current = lock_and_check_if_match(response_schema, find(**path))
                view(self, row, *load_body_as_args(patch, current))
                return get_representation(response_schema, find(**path)).to_response()

            responses = {
                200: openapi.response_object("The row, changed.", schema, openapi.ETAG_HEADERS),
                **openapi.with_common_error_responses(404, 406, 409, 412, 413, 415, 428),
            }
            update = openapi.documented_like(
                wrapper,
                view,
                responses=responses,
                parameters=[openapi.IF_MATCH],
                # Generators take one media type; that of RFC 7396 is accepted all the same.
                requestBody=openapi.request_body_object(
                    schema.for_request_body(partial=True),
                    [JSON],
                    f"A merge patch (RFC 7396). `{MERGE_PATCH}` is accepted, too.",
                ),
                **problem_codes.as_operation_member(
                    *problem_codes.codes_for_body(patch), *problem_codes.QUERY_CODES, *problems
                ),
            )
            update.update = Update(find, patch, view)  # type: ignore[attr-defined]
            return update

        return decorator

    def action(
        self,
        schema: type[fields.Schema],
        find: QueryFactory,
        body: type[fields.Schema] | None = None,
        *,
        problems: Iterable[str] = (),
        example: Mapping[str, Any] | None = None,
    ) -> Callable[[View], View]:
        """Lock the row, pass it and the values of the body to the view, and return the row.

        `problems` are as in `create`; `example` has the members that the action changes.
        """
        response_schema = schema()
        request_schema = body() if body else None

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                row, current = lock_and_check_if_match(
                    response_schema, find(**path), require_if_match=False
                )
                view(self, row, *load_body_as_args(request_schema, current))
                return get_representation(response_schema, find(**path)).to_response()

            responses = {
                200: openapi.response_object(
                    "The row, as it is then.", schema, openapi.ETAG_HEADERS, example
                ),
                **openapi.with_common_error_responses(404, 406, 409, 412, 413, 415),
            }
            parameters = [openapi.OPTIONAL_IF_MATCH]
            documented = _request_body_documentation(body, problems)
            return openapi.documented_like(
                wrapper, view, responses=responses, parameters=parameters, **documented
            )

        return decorator

    def destroy(
        self,
        schema: type[fields.Schema],
        find: QueryFactory,
        *,
        require_if_match: bool = True,
        problems: Iterable[str] = (),
    ) -> Callable[[View], View]:
        """Lock the row, check If-Match, and let the view delete the row; return 204.

        `problems` are as in `create`.
        """
        response_schema = schema()

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                row, _ = lock_and_check_if_match(
                    response_schema, find(**path), require_if_match=require_if_match
                )
                request.reject_parameters()
                view(self, row)
                return Response(status=204)

            wrapper.has_no_content = True  # type: ignore[attr-defined]
            unconditional = (428,) if require_if_match else ()
            responses = {
                204: openapi.response_object("Done.", None, {}),
                **openapi.with_common_error_responses(404, 409, 412, *unconditional),
            }
            if_match = openapi.IF_MATCH if require_if_match else openapi.OPTIONAL_IF_MATCH
            return openapi.documented_like(
                wrapper,
                view,
                responses=responses,
                parameters=[if_match],
                **problem_codes.as_operation_member(*problem_codes.QUERY_CODES, *problems),
            )

        return decorator


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


def _request_body_documentation(
    body: type[fields.Schema] | None, problems: Iterable[str] = ()
) -> dict[str, Any]:
    codes = problem_codes.codes_for_body(body()) if body else problem_codes.NO_BODY_CODES
    documented = problem_codes.as_operation_member(*codes, *problem_codes.QUERY_CODES, *problems)
    if body:
        documented["requestBody"] = openapi.request_body_object(body.for_request_body(), [JSON])
    return documented
