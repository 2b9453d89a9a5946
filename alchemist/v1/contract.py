"""What the older services had in common: whole lists, no entity tags, no fuss about the rest."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
from uuid import UUID

from flask import Response, jsonify
from marshmallow import EXCLUDE
from sqlalchemy import Select, String, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from alchemist import db, errors, fields, problems, rest
from alchemist.representation import document
from alchemist.rest import openapi
from alchemist.rest.blueprint import PARSER, Find, fetch
from alchemist.rest.parsing import JSON
from alchemist.rest.request import request

MOST_ROWS = 10_000

problems.document(
    "list-too-long",
    400,
    f"Lists of version 1 are whole arrays, which end at {MOST_ROWS} rows. Version 2 has pages.",
    "There are more than 10000 rows. Use the pages of /api/v2/potions.",
)

View = Callable[..., Any]


class Schema(fields.Schema):
    """Ignores what it does not know, as the older services did."""

    class Meta:
        unknown = EXCLUDE


class Resource(rest.Resource):
    """Ignores query parameters that it does not know, and what the client accepts."""

    def check_request(self, view: View) -> None:
        pass


class Blueprint(rest.Blueprint):
    def all_of(self, schema: type[fields.Schema]) -> Callable[[View], View]:
        """Answer every row of the query that the view returns, in the order of creation."""
        shown = schema()

        def decorator(view: View) -> View:
            def act(self: Any) -> Response:
                query = view(self)
                row = db.fetch(_whole(query.select, shown), query.parameters)
                assert row is not None  # noqa: S101  an aggregate without GROUP BY
                if row.rows > MOST_ROWS:
                    detail = f"There are more than {MOST_ROWS} rows. Use the pages of /api/v2."
                    raise errors.Malformed(detail, code="list-too-long")
                return Response(row.body, mimetype=JSON)

            return _documented(act, view, 200, "All of them.", schema(many=True))

        return decorator

    def one_of(
        self, schema: type[fields.Schema], absent: str | None = None
    ) -> Callable[[View], View]:
        """Answer the row that the view's query finds; `absent` is said if there is none."""
        shown = schema()

        def decorator(view: View) -> View:
            def act(self: Any, *args: Any, **path: UUID) -> Response:
                with _saying(absent):
                    found = fetch(shown, view(self, *args, **path))
                return Response(found.body, mimetype=JSON)

            return _documented(act, view, 200, "The row.", schema, 404)

        return decorator

    def makes(
        self, schema: type[fields.Schema], find: Find, status: int = 201
    ) -> Callable[[View], View]:
        """Answer the row that the view made."""
        shown = schema()

        def decorator(view: View) -> View:
            def act(self: Any, values: Mapping[str, Any]) -> Response:
                row = view(self, values)
                return Response(fetch(shown, find(row.pk)).body, status, mimetype=JSON)

            return _documented(act, view, status, "Created.", schema, 409, 413, 415)

        return decorator

    def edits(
        self, schema: type[fields.Schema], find: Find, absent: str | None = None
    ) -> Callable[[View], View]:
        """Hold the row, let the view change it, and answer it: the last writer wins."""
        shown, patch = schema(), schema.patch()

        def decorator(view: View) -> View:
            def act(self: Any, **path: UUID) -> Response:
                with _saying(absent):
                    row = db.lock(find(**path))
                view(self, row, PARSER.parse(patch, request, location="json"))
                return Response(fetch(shown, find(**path)).body, mimetype=JSON)

            body = openapi.body(schema.writable(partial=True), [JSON])
            edited = openapi.documented(act, view, requestBody=body)
            return _documented(edited, edited, 200, "The row.", schema, 404, 409, 413, 415)

        return decorator

    def drops(
        self,
        find: Find,
        schema: type[fields.Schema],
        answer: Mapping[str, Any],
        absent: str | None = None,
    ) -> Callable[[View], View]:
        """Hold the row, let the view delete it, and say so."""

        def decorator(view: View) -> View:
            def act(self: Any, **path: UUID) -> Response:
                with _saying(absent):
                    row = db.lock(find(**path))
                view(self, row)
                return jsonify(answer)

            return _documented(act, view, 200, "Deleted.", schema, 404, 409)

        return decorator


@contextmanager
def _saying(absent: str | None) -> Iterator[None]:
    """Put a row's absence in the older service's words."""
    try:
        yield
    except errors.NotFound as missing:
        raise errors.NotFound(absent or missing.detail) from missing


def _documented(
    act: View, view: View, status: int, description: str, schema: Any, *refused: int
) -> View:
    answer = openapi.response(description, schema, {})
    responses = {status: answer, **openapi.refusals(*refused)}
    return openapi.documented(act, view, responses=responses, deprecated=True)


@cache
def _whole(query: Select[Any], schema: fields.Schema) -> Select[Any]:
    """Return the statement of a list: its JSON text, and its rows, at most one too many."""
    entity = query.column_descriptions[0]["entity"]
    found = query.order_by(entity.pk).limit(literal_column(str(MOST_ROWS + 1))).subquery()
    row = aliased(entity, found)
    listed = func.json_agg(aggregate_order_by(document(schema, row), found.c.pk))
    return select(
        cast(func.coalesce(listed, func.json_build_array()), String).label("body"),
        func.count().label("rows"),
    ).select_from(found)
