"""What the blueprints of all versions share: permissions, and parsed arguments."""

from collections.abc import Callable, Iterable
from typing import Any

import flask_smorest

from . import fields, openapi, problem_codes
from .json_body import AuthorizeReferences
from .operations import load_body_as_args
from .query_string import QUERY_PARSER
from .request import JSON
from .resource import Resource

View = Callable[..., Any]


class BaseBlueprint(flask_smorest.Blueprint):
    """Documents the permission of each operation, and passes views the arguments."""

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

            return openapi.documented_like(wrapper, view, **request_body_documentation(schema))

        return decorator


def request_body_documentation(
    body: type[fields.Schema] | None, problems: Iterable[str] = ()
) -> dict[str, Any]:
    codes = problem_codes.codes_for_body(body()) if body else problem_codes.NO_BODY_CODES
    documented = problem_codes.as_operation_member(*codes, *problem_codes.QUERY_CODES, *problems)
    if body:
        documented["requestBody"] = openapi.request_body_object(body.for_request_body(), [JSON])
    return documented
