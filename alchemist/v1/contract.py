"""What the older services had in common: whole lists, no entity tags, no fuss about the rest."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from uuid import UUID

from flask import Response
from marshmallow import EXCLUDE
from sqlalchemy import Select, String, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from alchemist import db, errors, fields, problems, rest
from alchemist.representation import document
from alchemist.rest import openapi
from alchemist.rest.blueprint import Find, fetch
from alchemist.rest.parsing import JSON

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

            listed = openapi.response("All of them.", schema(many=True), {})
            responses = {200: listed, **openapi.refusals()}
            return openapi.documented(act, view, responses=responses, deprecated=True)

        return decorator

    def one_of(self, schema: type[fields.Schema]) -> Callable[[View], View]:
        """Answer the row that the view's query finds."""
        shown = schema()

        def decorator(view: View) -> View:
            def act(self: Any, pk: UUID) -> Response:
                return Response(fetch(shown, view(self, pk)).body, mimetype=JSON)

            found = openapi.response("The row.", schema, {})
            responses = {200: found, **openapi.refusals(404)}
            return openapi.documented(act, view, responses=responses, deprecated=True)

        return decorator

    def makes(self, schema: type[fields.Schema], find: Find) -> Callable[[View], View]:
        """Answer 201 and the row that the view made."""
        shown = schema()

        def decorator(view: View) -> View:
            def act(self: Any, values: Mapping[str, Any]) -> Response:
                row = view(self, values)
                return Response(fetch(shown, find(row.pk)).body, 201, mimetype=JSON)

            made = openapi.response("Created.", schema, {})
            responses = {201: made, **openapi.refusals(413, 415)}
            return openapi.documented(act, view, responses=responses, deprecated=True)

        return decorator


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
