"""Decorators of views: each one acts and, in the same breath, documents what it does."""

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import flask_smorest
from flask import Response
from marshmallow import Schema
from sqlalchemy import inspect

from alchemist import database as db
from alchemist import errors
from alchemist.api.pagination import ListQuerySchema, Page, paginate

from . import etags, fields, json_insert, json_select, openapi
from .json_body import StrictParser
from .request import JSON, MERGE_PATCH, request
from .resource import Resource
from .response import JsonResponse

View = Callable[..., Any]
QueryFactory = Callable[..., db.Query]
VERBS = {"get": "Get", "post": "Create", "patch": "Update", "delete": "Delete"}
PAGINATION_PARAMETERS = ("limit", "cursor", "sort", "count")
PARSER, EMPTY_BODY_SCHEMA = StrictParser(), fields.Schema()


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


def lock_for_update(schema: Schema, query: db.Query, *, conditional: bool = True) -> Any:
    """Return the row, locked, if the request's If-Match says what it is now.

    One that is sent is heeded (RFC 9110 §13.1.1), also where it need not be. Lock first and read
    then: whoever waited here must see what the one before has written.
    """
    row = db.lock_row(query)
    if not conditional and "If-Match" not in request.headers:
        return row
    document = get_representation(schema, query)
    request.current_representation = json.loads(document.body)
    etags.require_match(
        request.headers.get("If-Match"), document.etag, request.current_representation
    )
    return row


def store_and_represent(schema: Schema, row: Any, find: Callable[[], db.Query]) -> Representation:
    """Return the document of a row that a view has made, and store it if that is left to do."""
    is_new = isinstance(row, db.Base) and inspect(row).transient
    body = json_insert.insert_returning_json(schema, row) if is_new else None
    return (
        get_representation(schema, find())
        if body is None
        else Representation(body, etags.compute(body))
    )


def parse_body(expected: Schema | None) -> list[Any]:
    """Return the values of the body, if any are `expected`.

    If not, it must be empty or say nothing: whoever sends a field believes that it is read.
    """
    if expected is not None:
        return [PARSER.parse(expected, request, location="json")]
    if request.body:
        PARSER.parse(EMPTY_BODY_SCHEMA, request, location="json")
    request.raise_for_errors()
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
        self, rule: str, endpoint: Any = None, view_func: Any = None, **how: Any
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
        super().add_url_rule(rule, endpoint, view_func, **how)

    def arguments(
        self, schema: Any, *, location: str = "json", trusting: bool = False, **how: Any
    ) -> Callable[[View], View]:
        """Hand the view what the request says; a body is documented without what is read-only.

        What is stored by one statement may be `trusting`: foreign keys tell what is not there.
        """
        if location != "json":
            parsed: Callable[[View], View] = super().arguments(schema, location=location, **how)
            return parsed
        expected, parser = schema(), StrictParser(trusting=trusting)

        def decorator(view: View) -> View:
            def act(self: Any, **path: Any) -> Any:
                return view(self, parser.parse(expected, request, location="json"), **path)

            body = openapi.request_body(schema.for_request_body(), [JSON])
            return openapi.with_openapi(act, view, requestBody=body)

        return decorator

    def list(
        self, schema: type[fields.Schema], args: type[ListQuerySchema]
    ) -> Callable[[View], View]:
        """Answer a page of the query that the view returns for the filters of the request."""
        shown, expected = schema(), args()

        def decorator(view: View) -> View:
            def act(self: Any, **path: UUID) -> Response:
                values = PARSER.parse(expected, request, location="query")
                filters = {
                    name: value
                    for name, value in values.items()
                    if name not in PAGINATION_PARAMETERS
                }
                place = f"{request.path.rstrip('/')} {sorted(filters.items())}"
                page = paginate(shown, view(self, filters, **path), place, values)
                return JsonResponse(page.body, headers=_pagination_headers(page))

            answers = openapi.response("A page.", schema(many=True), openapi.LIST_HEADERS)
            responses = {200: answers, **openapi.error_responses(406)}
            listed = openapi.with_openapi(act, view, responses=responses)
            # What flask-smorest says of parameters, without what it would do in each request.
            told: Any = self.arguments(expected, location="query")(listed)
            listed._apidoc = told._apidoc  # type: ignore[attr-defined]
            listed.takes_query = True  # type: ignore[attr-defined]
            return listed

        return decorator

    def retrieve(self, schema: type[fields.Schema]) -> Callable[[View], View]:
        """Answer the row that the view's query finds, or 304 if the client has it already."""
        shown = schema()

        def decorator(view: View) -> View:
            def act(self: Any, **path: UUID) -> Response:
                document = get_representation(shown, view(self, **path))
                request.raise_for_errors()
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
            return openapi.with_openapi(act, view, responses=responses, parameters=parameters)

        return decorator

    def create(self, schema: type[fields.Schema], find: QueryFactory) -> Callable[[View], View]:
        """Answer 201 and the row that the view made, of values or of the path alone."""
        shown = schema()

        def decorator(view: View) -> View:
            def act(self: Any, *values: Mapping[str, Any], **path: UUID) -> Response:
                row = view(self, *(values or parse_body(None)), **path)
                document = store_and_represent(shown, row, lambda: find(pk=row.pk, **path))
                place = f"{request.path.rstrip('/')}/{row.pk}"
                return document.answer(201, Location=place)

            created = openapi.response(
                "Created.", schema, openapi.ETAG_HEADERS | openapi.LOCATION_HEADERS
            )
            responses = {201: created, **openapi.error_responses(406, 409, 413, 415)}
            return openapi.with_openapi(act, view, responses=responses)

        return decorator

    def update(self, schema: type[fields.Schema], find: QueryFactory) -> Callable[[View], View]:
        """Hold the row, read the merge patch (RFC 7396), and answer the row as the view left it."""
        shown, patch = schema(), schema.for_patch()

        def decorator(view: View) -> View:
            def act(self: Any, **path: UUID) -> Response:
                row = lock_for_update(shown, find(**path))
                view(self, row, PARSER.parse(patch, request, location="json"))
                return get_representation(shown, find(**path)).answer()

            responses = {
                200: openapi.response("The row, changed.", schema, openapi.ETAG_HEADERS),
                **openapi.error_responses(404, 406, 409, 412, 413, 415, 428),
            }
            return openapi.with_openapi(
                act,
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
        taking: type[fields.Schema] | None = None,
    ) -> Callable[[View], View]:
        """Hold the row, let the view do what the path says, and answer the row.

        The view gets the values of a body if it is `taking` one.
        """
        shown = schema()
        expected = taking() if taking else None

        def decorator(view: View) -> View:
            def act(self: Any, **path: UUID) -> Response:
                row = lock_for_update(shown, find(**path), conditional=False)
                view(self, row, *parse_body(expected))
                return get_representation(shown, find(**path)).answer()

            responses = {
                200: openapi.response("The row, as it is then.", schema, openapi.ETAG_HEADERS),
                **openapi.error_responses(404, 406, 409, 412, 413, 415),
            }
            body = (
                {"requestBody": openapi.request_body(taking.for_request_body(), [JSON])}
                if taking
                else {}
            )
            return openapi.with_openapi(act, view, responses=responses, **body)

        return decorator

    def destroy(
        self, schema: type[fields.Schema], find: QueryFactory, *, conditional: bool = True
    ) -> Callable[[View], View]:
        """Hold the row and let the view delete it; `conditional` ones need If-Match."""
        shown = schema()

        def decorator(view: View) -> View:
            def act(self: Any, **path: UUID) -> Response:
                row = lock_for_update(shown, find(**path), conditional=conditional)
                request.raise_for_errors()
                view(self, row)
                return Response(status=204)

            refused = (428,) if conditional else ()
            responses = {
                204: openapi.response("Done.", None, {}),
                **openapi.error_responses(404, 406, 409, 412, *refused),
            }
            parameters = [openapi.IF_MATCH] if conditional else []
            return openapi.with_openapi(act, view, responses=responses, parameters=parameters)

        return decorator


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
