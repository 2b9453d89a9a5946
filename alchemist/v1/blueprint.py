"""What the older services had in common: whole lists, no entity tags, no fuss about the rest."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any
from uuid import UUID

from flask import Response, jsonify
from marshmallow import EXCLUDE, ValidationError, pre_load, validates_schema
from sqlalchemy import Select, String, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from alchemist import api, errors
from alchemist import database as db
from alchemist.api import JsonResponse, database_errors, fields, openapi
from alchemist.api.fields import CodedMessage
from alchemist.api.json_select import json_object
from alchemist.api.operations import (
    QueryFactory,
    create_row,
    get_representation,
    load_values,
)
from alchemist.api.request import JSON

MAX_ROWS = 10_000

errors.register(
    "list-too-long",
    400,
    f"Version 1 returns a list as one array of at most {MAX_ROWS:,} rows. Version 2 has pages.",
    "There are more than 10000 rows. Use the pages of /api/v2/potions.",
)

errors.register(
    "ambiguous",
    422,
    "Version 1 accepts some field names in camel case and in snake case. Both were sent, with "
    "different values.",
    "storeId and store_id differ.",
)
View = Callable[..., Any]


class Schema(fields.Schema):
    """Ignores what it does not know, as the older services did.

    A field that has a name in camel case is read by its name in snake case, too.
    """

    class Meta:
        unknown = EXCLUDE

    def _named_twice(self, sent: Any) -> dict[str, str]:
        """Return the fields that are sent in snake case, with their names in camel case."""
        known = sent if isinstance(sent, dict) else {}
        twice = {name: field.data_key for name, field in self.load_fields.items()}
        return {name: camel for name, camel in twice.items() if camel and name in known}

    @pre_load
    def read_snake_case(self, sent: Any, **_: Any) -> Any:
        camel = self._named_twice(sent)
        return {camel[name]: sent[name] for name in camel} | sent if camel else sent

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check_names(self, _values: Any, sent: Any, **_: Any) -> None:
        """Complain about fields that are sent by both names with different values."""
        complaints = {
            name: [CodedMessage("ambiguous", f"{camel} and {name} differ.")]
            for name, camel in self._named_twice(sent).items()
            if sent.get(camel, sent[name]) != sent[name]
        }
        if complaints:
            raise ValidationError(complaints)

    def handle_error(self, error: ValidationError, sent: Any, **_: Any) -> None:  # type: ignore[override]
        """Let complaints name a field as the client did."""
        for name, camel in self._named_twice(sent).items():
            if camel not in sent and camel in error.messages_dict:
                error.messages_dict[name] = error.messages_dict.pop(camel)


class Resource(api.Resource):
    """Ignores query parameters that it does not know, and what the client accepts."""

    def check_accept(self, view: View) -> None:
        pass


class Blueprint(api.Blueprint):
    def list(self, schema: type[fields.Schema]) -> Callable[[View], View]:  # type: ignore[override]
        """Answer every row of the query that the view returns, in the order of creation."""
        shown = schema()

        def decorator(view: View) -> View:
            def act(self: Any) -> Response:
                query = view(self)
                [(body, rows)] = db.fetch_all(
                    _full_list_statement(query.select, shown), query.parameters
                )
                if rows > MAX_ROWS:
                    detail = f"There are more than {MAX_ROWS} rows. Use the pages of /api/v2."
                    raise errors.BadRequest(detail, code="list-too-long")
                return JsonResponse(body)

            return _with_response(act, view, 200, "All of them.", schema(many=True))

        return decorator

    def retrieve(
        self, schema: type[fields.Schema], absent: str | None = None
    ) -> Callable[[View], View]:
        """Answer the row that the view's query finds; `absent` is said if there is none."""
        shown = schema()

        def decorator(view: View) -> View:
            def act(self: Any, *args: Any, **path: UUID) -> Response:
                with _with_v1_details(absent):
                    found = get_representation(shown, view(self, *args, **path))
                return JsonResponse(found.body)

            return _with_response(act, view, 200, "The row.", schema, 404)

        return decorator

    def create(  # type: ignore[override]
        self,
        schema: type[fields.Schema],
        find: QueryFactory,
        *,
        body: type[fields.Schema],
        in_session: bool = False,
        status: int = 201,
        conflict_detail: str | None = None,
    ) -> Callable[[View], View]:
        """Answer the row that the view returns; a unique value that is taken has its own detail."""
        response_schema, request_schema = schema(), body()

        def decorator(view: View) -> View:
            def wrapper(self: Any) -> Response:
                with _with_v1_details(taken=conflict_detail):
                    _, representation = create_row(
                        partial(view, self),
                        response_schema,
                        request_schema,
                        find,
                        in_session=in_session,
                        path={},
                    )
                return JsonResponse(representation.body, status)

            documented = openapi.with_openapi(
                wrapper, view, requestBody=openapi.request_body(body.for_request_body(), [JSON])
            )
            create = _with_response(
                documented, documented, status, "Created.", schema, 409, 413, 415
            )
            create.is_single_statement = not in_session  # type: ignore[attr-defined]
            return create

        return decorator

    def update(
        self,
        schema: type[fields.Schema],
        find: QueryFactory,
        absent: str | None = None,
        taken: str | None = None,
        *,
        silently: bool = False,
    ) -> Callable[[View], View]:
        """Hold the row, let the view change it, and answer it: the last writer wins.

        Done `silently`, the answer is empty.
        """
        shown, patch = schema(), schema.for_patch()

        def decorator(view: View) -> View:
            def act(self: Any, **path: UUID) -> Response:
                with _with_v1_details(absent, taken):
                    row = _lock_twice(find(**path))
                    view(self, row, *load_values(patch))
                if silently:
                    return Response(status=204)
                return JsonResponse(get_representation(shown, find(**path)).body)

            body = openapi.request_body(schema.for_request_body(partial=True), [JSON])
            edited = openapi.with_openapi(act, view, requestBody=body)
            answer = (204, "Changed.", None) if silently else (200, "The row.", schema)
            return _with_response(edited, edited, *answer, 404, 409, 413, 415)

        return decorator

    def destroy(  # type: ignore[override]
        self,
        find: QueryFactory,
        schema: type[fields.Schema] | None = None,
        answer: Mapping[str, Any] | None = None,
        absent: str | None = None,
    ) -> Callable[[View], View]:
        """Hold the row, let the view delete it, and say so, if the older service said something."""

        def decorator(view: View) -> View:
            def act(self: Any, **path: UUID) -> Response:
                with _with_v1_details(absent):
                    row = _lock_twice(find(**path))
                view(self, row)
                return jsonify(answer) if answer else Response(status=204)

            return _with_response(act, view, 200 if answer else 204, "Deleted.", schema, 404, 409)

        return decorator


@contextmanager
def _with_v1_details(absent: str | None = None, taken: str | None = None) -> Iterator[None]:
    """Put the absence of a row, or that a value is taken, in the older service's words."""
    try:
        yield
    except errors.NotFound as missing:
        raise errors.NotFound(absent or missing.detail) from missing
    except IntegrityError as error:
        refusal = database_errors.to_api_error(error)
        if taken and isinstance(refusal, errors.Conflict):
            raise errors.Conflict(taken, refusal.errors) from error
        raise


def _lock_twice(query: db.Query) -> Any:
    """Return the row, locked, and found again: whose it is may have changed during the wait."""
    db.lock_row(query)
    return db.lock_row(query)


def _with_response(
    act: View, view: View, status: int, description: str, schema: Any, *refused: int
) -> View:
    answer = openapi.response(description, schema, {})
    responses = {status: answer, **openapi.error_responses(*refused)}
    return openapi.with_openapi(act, view, responses=responses, deprecated=True)


@cache
def _full_list_statement(query: Select[Any], schema: fields.Schema) -> Select[Any]:
    """Return the statement of a list: its JSON text, and its rows, at most one too many."""
    entity = query.column_descriptions[0]["entity"]
    found = query.order_by(entity.pk).limit(literal_column(str(MAX_ROWS + 1))).subquery()
    row = aliased(entity, found)
    listed = func.json_agg(aggregate_order_by(json_object(schema, row), found.c.pk))
    return select(
        cast(func.coalesce(listed, func.json_build_array()), String).label("body"),
        func.count().label("rows"),
    ).select_from(found)
