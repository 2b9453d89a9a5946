"""Decorators that implement an operation and add it to the OpenAPI document."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from flask import Response

from . import fields, openapi, problem_codes
from .base_blueprint import View, request_body_documentation
from .json_body import AuthorizeReferences
from .operations import (
    EMPTY_BODY_SCHEMA,
    Creation,
    QueryFactory,
    Update,
    create_row,
    get_representation,
    load_body_as_args,
    lock_and_check_if_match,
)
from .read_blueprint import ReadBlueprint
from .request import JSON, MERGE_PATCH, current_request, request
from .resource import Resource

# The errors of the query of an operation that writes.
DRY_RUN_CODES = ("not-one-of", *problem_codes.QUERY_CODES)


class Blueprint(ReadBlueprint):
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
            documented = request_body_documentation(body, problems)
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
            documented = request_body_documentation(body, problems)
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
