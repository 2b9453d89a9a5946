"""Decorators of views: each one acts and, in the same breath, documents what it does."""

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import flask_smorest
from flask import Response
from marshmallow import Schema

from alchemist import database as db
from alchemist import errors
from alchemist.api.pagination import ListQuerySchema, Page, paginate

from . import etags, fields, json_select, openapi
from .json_body import AuthorizeReferences, QueryParser, load_body
from .json_insert import insert_returning_json
from .request import JSON, MERGE_PATCH, request
from .resource import Resource
from .response import JsonResponse

View = Callable[..., Any]
QueryFactory = Callable[..., db.Query]
VERBS = {"get": "Get", "post": "Create", "patch": "Update", "delete": "Delete"}
PAGINATION_PARAMETERS = ("limit", "cursor", "sort", "count")
PARSER, EMPTY_BODY_SCHEMA = QueryParser(), fields.Schema()


class Representation(NamedTuple):
    """A row as the client sees it, and the entity tag of exactly that."""

    body: str
    etag: str

    def answer(self, status: int = 200, **headers: str) -> Response:
        return JsonResponse(self.body, status, {"ETag": self.etag, **headers})


def get_representation(schema: Schema, query: db.Query) -> Representation:
    """Return the document of the row that `query` finds; raise NotFound."""
    row = db.fetch_one(json_select.select_json(query.select, schema), query.parameters)
    if row is None:
        raise errors.NotFound(f"{query.model.__name__} does not exist")
    return Representation(row[0], etags.compute(row[0]))


def lock_and_check(
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
        row = view(*load_values(request_schema, authorize=authorize), **path)
        return row, get_representation(schema, find(pk=row.pk, **path))
    query_errors = request.unexpected_parameters()
    body = load_body(
        request_schema or EMPTY_BODY_SCHEMA,
        query_errors=query_errors,
        defer_lookup=True,
        authorize=authorize,
    )
    row = view(body.values, **path)
    inserted = insert_returning_json(schema, row, body.references)
    if inserted is None:
        return row, get_representation(schema, find(pk=row.pk, **path))
    if inserted.body is None:
        details = [reference.error for reference in inserted.unknown]
        raise errors.UnprocessableContent.from_errors(details)
    return row, Representation(inserted.body, etags.compute(inserted.body))


def load_values(
    schema: Schema | None,
    current: Mapping[str, Any] | None = None,
    authorize: AuthorizeReferences | None = None,
) -> list[Any]:
    """Return the values of the body in a list; without a schema, it must be absent or `{}`."""
    if schema is not None or request.body:
        query_errors = request.unexpected_parameters()
        body = load_body(
            schema or EMPTY_BODY_SCHEMA, current, query_errors=query_errors, authorize=authorize
        )
        return [body.values] if schema else []
    request.reject_parameters()
    return []


def operation_id(resource: type[Resource], method: str) -> str:
    """Return the name of an operation, which is that of the method in generated clients.

    `PotionList` has listPotions and createPotion, `PotionItem` getPotion, updatePotion and
    deletePotion; any other class is called what it does. A `V1` in front stays in front.
    """
    if method in resource.operation_ids:
        return resource.operation_ids[method]
    version, name = re.fullmatch(r"(V1)?(\w+)", resource.__name__).groups()  # type: ignore[union-attr]
    if match := re.fullmatch(r"(\w+)(List|Item|Detail)", name):
        is_list = method == "get" and match[2] == "List"
        name = f"List{_plural(match[1])}" if is_list else f"{VERBS[method]}{match[1]}"
    return f"v1{name}" if version else name[0].lower() + name[1:]


def _plural(noun: str) -> str:
    if noun.endswith("y"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith("o") else f"{noun}s"


class Blueprint(flask_smorest.Blueprint):
    ARGUMENTS_PARSER = PARSER

    def add_url_rule(
        self, rule: str, endpoint: Any = None, view_func: Any = None, **options: Any
    ) -> None:
        """Write the name and the permission of each operation into its documentation."""
        if isinstance(view_func, type) and issubclass(view_func, Resource):
            for method, permission in view_func.permissions.items():
                view = getattr(view_func, method)
                named = {
                    "operationId": operation_id(view_func, method),
                    "x-permission": permission,
                }
                setattr(view_func, method, openapi.with_openapi(view, view, **named))
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
                return view(self, *load_values(request_schema, authorize=authorize), **path)

            body = openapi.request_body(schema.for_request_body(), [JSON])
            return openapi.with_openapi(wrapper, view, requestBody=body)

        return decorator

    def list(
        self, schema: type[fields.Schema], args: type[ListQuerySchema]
    ) -> Callable[[View], View]:
        """Answer a page of the query that the view returns for the filters of the request."""
        response_schema, query_schema = schema(), args()

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                values = PARSER.parse(query_schema, request, location="query")
                filters = {
                    name: value
                    for name, value in values.items()
                    if name not in PAGINATION_PARAMETERS
                }
                place = f"{request.path.rstrip('/')} {sorted(filters.items())}"
                page = paginate(response_schema, view(self, filters, **path), place, values)
                return JsonResponse(page.body, headers=_pagination_headers(page))

            answers = openapi.response("A page.", schema(many=True), openapi.LIST_HEADERS)
            responses = {200: answers, **openapi.error_responses(406)}
            listed = openapi.with_openapi(wrapper, view, responses=responses)
            # What flask-smorest says of parameters, without what it would do in each request.
            told: Any = self.arguments(query_schema, location="query")(listed)
            listed._apidoc = told._apidoc  # type: ignore[attr-defined]
            return listed

        return decorator

    def retrieve(self, schema: type[fields.Schema]) -> Callable[[View], View]:
        """Answer the row that the view's query finds, or 304 if the client has it already."""
        response_schema = schema()

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                document = get_representation(response_schema, view(self, **path))
                request.reject_parameters()
                known = request.headers.get("If-None-Match")
                if known and etags.matches_weakly(known, document.etag):
                    return Response(status=304, headers={"ETag": document.etag})
                return document.answer()

            responses = {
                200: openapi.response("The row.", schema, openapi.ETAG_HEADERS),
                304: openapi.response("The client has it already.", None, openapi.ETAG_HEADERS),
                **openapi.error_responses(404, 406),
            }
            parameters = [openapi.IF_NONE_MATCH]
            return openapi.with_openapi(wrapper, view, responses=responses, parameters=parameters)

        return decorator

    def create(
        self,
        schema: type[fields.Schema],
        find: QueryFactory,
        *,
        body: type[fields.Schema] | None,
        in_session: bool = False,
        authorize: AuthorizeReferences | None = None,
    ) -> Callable[[View], View]:
        """Pass the view the values of a `body`, and answer 201 and the row that it returns.

        The row is new to the session, and stored here in a single statement. A view that has to
        write more than a row and its children stores it by itself, `in_session`. `authorize` raises
        Forbidden for references of the body that the caller may not make.
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
                location = f"{request.path.rstrip('/')}/{row.pk}"
                return representation.answer(201, Location=location)

            headers = openapi.ETAG_HEADERS | openapi.LOCATION_HEADERS
            created = openapi.response("Created.", schema, headers)
            responses = {201: created, **openapi.error_responses(406, 409, 413, 415)}
            documented = _body_documentation(body)
            create = openapi.with_openapi(wrapper, view, responses=responses, **documented)
            create.is_single_statement = not in_session  # type: ignore[attr-defined]
            return create

        return decorator

    def update(self, schema: type[fields.Schema], find: QueryFactory) -> Callable[[View], View]:
        """Hold the row, read the merge patch (RFC 7396), and answer the row as the view left it."""
        response_schema, patch = schema(), schema.for_patch()

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                row, current = lock_and_check(response_schema, find(**path))
                view(self, row, *load_values(patch, current))
                return get_representation(response_schema, find(**path)).answer()

            responses = {
                200: openapi.response("The row, changed.", schema, openapi.ETAG_HEADERS),
                **openapi.error_responses(404, 406, 409, 412, 413, 415, 428),
            }
            return openapi.with_openapi(
                wrapper,
                view,
                responses=responses,
                parameters=[openapi.IF_MATCH],
                requestBody=openapi.request_body(
                    schema.for_request_body(partial=True), (JSON, MERGE_PATCH)
                ),
            )

        return decorator

    def action(
        self,
        schema: type[fields.Schema],
        find: QueryFactory,
        body: type[fields.Schema] | None = None,
    ) -> Callable[[View], View]:
        """Hold the row, let the view do what the path says, and answer the row.

        The view gets the values of a body if it is `body` one.
        """
        response_schema = schema()
        request_schema = body() if body else None

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                row, current = lock_and_check(response_schema, find(**path), require_if_match=False)
                view(self, row, *load_values(request_schema, current))
                return get_representation(response_schema, find(**path)).answer()

            responses = {
                200: openapi.response("The row, as it is then.", schema, openapi.ETAG_HEADERS),
                **openapi.error_responses(404, 406, 409, 412, 413, 415),
            }
            documented = _body_documentation(body)
            return openapi.with_openapi(wrapper, view, responses=responses, **documented)

        return decorator

    def destroy(
        self, schema: type[fields.Schema], find: QueryFactory, *, require_if_match: bool = True
    ) -> Callable[[View], View]:
        """Hold the row and let the view delete it; `require_if_match` ones need If-Match."""
        response_schema = schema()

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                row, _ = lock_and_check(
                    response_schema, find(**path), require_if_match=require_if_match
                )
                request.reject_parameters()
                view(self, row)
                return Response(status=204)

            refused = (428,) if require_if_match else ()
            responses = {
                204: openapi.response("Done.", None, {}),
                **openapi.error_responses(404, 406, 409, 412, *refused),
            }
            parameters = [openapi.IF_MATCH] if require_if_match else []
            return openapi.with_openapi(wrapper, view, responses=responses, parameters=parameters)

        return decorator


def _body_documentation(body: type[fields.Schema] | None) -> dict[str, Any]:
    return {"requestBody": openapi.request_body(body.for_request_body(), [JSON])} if body else {}


def _pagination_headers(page: Page) -> dict[str, str]:
    """Return the headers of a page: its links (RFC 8288) and, if counted, the total."""
    path, query = request.path, _without_cursor(request.query_string)
    links = [f'<{path}{query and f"?{query}"}>; rel="first"']
    if page.next_cursor:
        # It is spelt in the characters of URLs.
        links.append(f'<{path}?{query and f"{query}&"}cursor={page.next_cursor}>; rel="next"')
    total = {} if page.total is None else {"X-Total-Count": str(page.total)}
    return {"Link": ", ".join(links), **total}


# Clients ask for the same lists again and again.
@lru_cache(maxsize=256)
def _without_cursor(query: bytes) -> str:
    pairs = parse_qsl(query.decode(), keep_blank_values=True)
    return urlencode([pair for pair in pairs if pair[0] != "cursor"])
