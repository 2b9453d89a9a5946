"""The decorators of v1's views: whole lists, and no entity tags."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from json import dumps
from typing import Any
from uuid import UUID

from flask import Response
from sqlalchemy.exc import IntegrityError

from alchemist import api, errors
from alchemist import database as db
from alchemist.api import JsonResponse, database_errors, openapi, problem_codes
from alchemist.api.base_blueprint import BaseBlueprint
from alchemist.api.operations import (
    QueryFactory,
    create_row,
    get_representation,
    load_body_as_args,
)
from alchemist.api.rate_limits import count_as_costly
from alchemist.api.request import JSON

from .full_list import MAX_MIB, MAX_ROWS, full_list_statement
from .schema import Schema

View = Callable[..., Any]


class Resource(api.Resource):
    """A resource whose clients know neither the Accept header nor `Alchemist-Position`."""

    ignores_accept = True
    has_positions = False


class Blueprint(BaseBlueprint):
    def list(self, schema: type[Schema]) -> Callable[[View], View]:
        """Answer with all rows of the query that the view returns, in order of creation."""
        response_schema = schema()

        def decorator(view: View) -> View:
            def wrapper(self: Any) -> Response:
                query = view(self)
                statement = full_list_statement(query.select, response_schema)
                [(has_more_rows, body)] = db.fetch_all(statement, query.parameters)
                if body is None:
                    excess = f"{MAX_ROWS} rows" if has_more_rows else f"{MAX_MIB} MiB"
                    detail = f"There are more than {excess}. Use the pages of /api/v2."
                    raise errors.BadRequest(detail, code="list-too-long")
                return JsonResponse(body)

            responses = {200: ("All rows.", schema(many=True))}
            return count_as_costly(
                document_responses(wrapper, view, responses, problems=["list-too-long"])
            )

        return decorator

    def retrieve(
        self, schema: type[Schema], *, not_found_detail: str | None = None
    ) -> Callable[[View], View]:
        """Answer with the row of the query that the view returns."""
        response_schema = schema()

        def decorator(view: View) -> View:
            def wrapper(self: Any, *args: Any, **path: UUID) -> Response:
                with _replace_error_details(not_found_detail):
                    query = view(self, *args, **path)
                    return JsonResponse(get_representation(response_schema, query).body)

            return document_responses(wrapper, view, {200: ("The row.", schema)}, 404)

        return decorator

    def create(
        self,
        schema: type[Schema],
        find: QueryFactory,
        *,
        body: type[Schema],
        in_session: bool = False,
        status: int = 201,
        conflict_detail: str | None = None,
        problems: Iterable[str] = (),
    ) -> Callable[[View], View]:
        """Pass the view the values of the body, and answer with the row that it returns.

        A view that stores the row itself does so `in_session`. `problems` are as in v2.
        """
        response_schema, request_schema = schema(), body()

        def decorator(view: View) -> View:
            def wrapper(self: Any) -> Response:
                with _replace_error_details(conflict_detail=conflict_detail):
                    _, representation = create_row(
                        partial(view, self),
                        response_schema,
                        request_schema,
                        find,
                        in_session=in_session,
                        path={},
                    )
                return JsonResponse(representation.body, status)

            documented = document_request_body(
                wrapper, view, request_schema, body.for_request_body()
            )
            responses = {status: ("Created.", schema)}
            create = document_responses(
                documented, documented, responses, 409, 413, 415, problems=problems
            )
            create.is_single_statement = not in_session  # type: ignore[attr-defined]
            return create

        return decorator

    def update(
        self,
        schema: type[Schema],
        find: QueryFactory,
        *,
        not_found_detail: str | None = None,
        conflict_detail: str | None = None,
        no_content: bool = False,
        problems: Iterable[str] = (),
    ) -> Callable[[View], View]:
        """Pass the view the locked row and the values of the body; the last writer wins.

        The answer is the row, or 204 with `no_content`.
        """
        response_schema, patch = schema(), schema.for_patch()

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                with _replace_error_details(not_found_detail, conflict_detail):
                    row = _lock_and_reread_row(find(**path))
                    view(self, row, *load_body_as_args(patch))
                if no_content:
                    return Response(status=204)
                return JsonResponse(get_representation(response_schema, find(**path)).body)

            documented = document_request_body(
                wrapper, view, patch, schema.for_request_body(partial=True)
            )
            responses = {204: ("Changed.", None)} if no_content else {200: ("The row.", schema)}
            return document_responses(
                documented, documented, responses, 404, 409, 413, 415, problems=problems
            )

        return decorator

    def destroy(
        self,
        find: QueryFactory,
        *,
        schema: type[Schema] | None = None,
        answer: Mapping[str, Any] | None = None,
        not_found_detail: str | None = None,
    ) -> Callable[[View], View]:
        """Pass the view the locked row to delete; answer with `answer`, or with 204."""

        def decorator(view: View) -> View:
            def wrapper(self: Any, **path: UUID) -> Response:
                with _replace_error_details(not_found_detail):
                    row = _lock_and_reread_row(find(**path))
                view(self, row)
                return JsonResponse(dumps(answer)) if answer else Response(status=204)

            responses = {200 if answer else 204: ("Deleted.", schema)}
            return document_responses(wrapper, view, responses, 404, 409, problems=["in-use"])

        return decorator


@contextmanager
def _replace_error_details(
    not_found_detail: str | None = None, conflict_detail: str | None = None
) -> Iterator[None]:
    """Replace the detail of NotFound, and of a Conflict with a unique constraint."""
    try:
        yield
    except errors.NotFound as error:
        raise errors.NotFound(not_found_detail or error.detail) from error
    except IntegrityError as error:
        api_error = database_errors.to_api_error(error)
        if conflict_detail and isinstance(api_error, errors.Conflict):
            raise errors.Conflict(conflict_detail, api_error.errors) from error
        raise


def _lock_and_reread_row(query: db.Query) -> Any:
    """Lock the row, then read it again: its owner may have changed during the wait."""
    db.lock_row(query)
    return db.lock_row(query)


def document_request_body(wrapper: View, view: View, schema: Schema, documented: Schema) -> View:
    """Document the body of a request by a schema, and the problems of the schema that loads it."""
    return openapi.documented_like(
        wrapper,
        view,
        requestBody=openapi.request_body_object(documented, [JSON]),
        **problem_codes.as_operation_member(*problem_codes.codes_for_body(schema)),
    )


def document_responses(
    wrapper: View,
    view: View,
    successes: Mapping[int, tuple[str, Any]],
    *errors: int,
    problems: Iterable[str] = (),
) -> View:
    """Document responses: of a success the description and schema, of an error the status."""
    responses = {
        status: openapi.response_object(description, schema, {})
        for status, (description, schema) in successes.items()
    }
    return openapi.documented_like(
        wrapper,
        view,
        responses={**responses, **openapi.with_common_error_responses(*errors)},
        deprecated=True,
        **problem_codes.as_operation_member(*problems),
    )
