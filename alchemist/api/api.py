"""flask-smorest's Api, adapted: schema names, error responses, and how fields are documented."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Any

import flask_smorest
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, Response, current_app
from werkzeug.exceptions import MethodNotAllowed, NotFound

from alchemist import errors

from . import field_docs, fields, openapi
from .problem_schemas import ProblemSchema
from .request import JSON, MERGE_PATCH, Request, current_request, request
from .resource import close_session

ERROR_HEADERS = {
    401: {
        "WWW-Authenticate": openapi.header_object(
            "The authentication scheme.", 'Bearer realm="alchemist"'
        )
    },
    405: {"Allow": openapi.header_object("The supported methods.", "GET, HEAD, OPTIONS, POST")},
    409: {
        "Retry-After": openapi.header_object(
            "Only with `request-in-progress`: seconds to wait.",
            1,
            required=False,
            type="integer",
        )
    },
    412: openapi.ETAG_HEADERS,
    415: {
        "Accept": openapi.header_object("The media type that POST accepts.", JSON, required=False),
        "Accept-Patch": openapi.header_object(
            "The media types that PATCH accepts (RFC 5789).",
            f"{JSON}, {MERGE_PATCH}",
            required=False,
        ),
    },
    429: openapi.RETRY_AFTER_HEADERS,
    503: openapi.RETRY_AFTER_HEADERS,
}

BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "alc_…",
    "description": "A token from `POST /api/v2/users/{user_id}/tokens`, which returns it once. It "
    "has the permissions of its user's role, or fewer.",
}


def _register_nothing(_api: flask_smorest.Api) -> None:
    """Replace a hook of flask-smorest."""


class Api(flask_smorest.Api):
    """One version of the API and its document."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask, version: str, description: str) -> None:
        self.version, self.description = version, description
        prefix = f"{version}_"
        app.config[f"{prefix.upper()}OPENAPI_URL_PREFIX"] = None
        super().__init__(
            app,
            config_prefix=prefix,
            spec_kwargs={
                "title": "Alchemist",
                "version": f"{version.removeprefix('v')}.0",
                "openapi_version": "3.1.0",
                "marshmallow_plugin": MarshmallowPlugin(
                    schema_name_resolver=field_docs.component_name
                ),
                "info": {
                    "description": description,
                    "license": {"name": "MIT", "identifier": "MIT"},
                },
                "servers": [{"url": "/"}],
            },
        )

    # `error_handlers` handles the errors of the whole application, and the decorators document
    # their headers.
    _register_error_handlers = _register_nothing
    _register_etag_headers = _register_nothing
    _register_pagination_header = _register_nothing

    def _register_responses(self) -> None:
        for status in sorted({problem.status for problem in errors.PROBLEM_TYPES.values()}):
            # Every document contains 401 and 403, the others only if an operation has them.
            lazy = status not in (401, 403)
            self.spec.components.response(
                openapi.response_component_name(status),
                _error_response_component(status),
                lazy=lazy,
            )

    def _init_spec(self, **options: Any) -> None:
        super()._init_spec(**options)
        for name, header in openapi.RATE_LIMIT_HEADERS.items():
            self.spec.components.header(name, header)
        self.spec.components.security_scheme("bearer", BEARER)
        # No format: `decimal` makes it a float in some generated clients.
        self.register_field(fields.DecimalString, "string", None)
        for function in field_docs.ATTRIBUTE_FUNCTIONS:
            self.ma_plugin.converter.add_attribute_function(function)
        self.ma_plugin.converter.add_parameter_attribute_function(
            field_docs.document_query_parameter
        )


def _error_response_component(status: int) -> dict[str, Any]:
    problem_types = [each for each in errors.PROBLEM_TYPES.values() if each.status == status]
    examples = {
        problem.code: {
            "description": problem.description,
            "value": openapi.example_problem(problem),
        }
        for problem in problem_types
    }
    content = {"schema": ProblemSchema, "examples": examples}
    return {
        "description": f"{problem_types[0].status_phrase}.",
        "headers": openapi.COMMON_HEADERS | ERROR_HEADERS.get(status, {}),
        "content": {"application/problem+json": content},
    }


def init_app(app: Flask) -> None:
    """Set up what all versions of the API share: request class, URL rules and request hooks."""
    app.request_class = Request
    # Flask types this attribute as a method of the class.
    app.make_default_options_response = _options_response  # type: ignore[method-assign]
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.before_request(_check_host_and_url)
    app.before_request(_answer_server_options)
    app.before_request(_turn_404_without_slash_into_405)
    app.before_request(_reject_ambiguous_slashes)
    app.after_request(_drain_body_and_set_headers)
    app.teardown_appcontext(close_session)


def _check_host_and_url() -> None:
    current = current_request()
    current.check_host()
    current.check_url_encoding()


def _answer_server_options() -> Response | None:
    """Answer `OPTIONS *`, which asks about the server as a whole (RFC 9110 §9.3.7)."""
    current = current_request()
    if current.method != "OPTIONS" or current.raw_target != "*":
        return None
    rules = current_app.url_map.iter_rules()
    return _no_content_with_allow({method for rule in rules for method in rule.methods or ()})


def _turn_404_without_slash_into_405() -> None:
    """Turn werkzeug's 404 into 405 if the same path with a trailing slash has other methods."""
    current = current_request()
    if isinstance(current.routing_exception, NotFound):
        adapter = current_app.create_url_adapter(current)
        methods = list(adapter.allowed_methods(f"{current.path}/")) if adapter else []
        if methods and current.method not in methods:
            current.routing_exception = MethodNotAllowed(methods)


def _reject_ambiguous_slashes() -> None:
    """Let a path that other software would read as another one be 404.

    For a proxy with rules for paths, `//api`, `/%2fapi` and `/api//` need not be `/api`. Slashes in
    the last parameter are allowed where the resource declares it.
    """
    current = current_request()
    paths = [current.raw_target.partition("?")[0].lower(), current.environ["PATH_INFO"]]
    view = current_app.view_functions.get(current.endpoint or "")
    rule = current.url_rule
    if rule and getattr(getattr(view, "view_class", None), "allows_encoded_slashes", False):
        prefix = rule.rule.partition("<")[0]
        paths = ["".join(path.partition(prefix)[:2]) for path in paths]
    if "%2f" in paths[0] or "//" in paths[1]:
        current.routing_exception, current.url_rule = NotFound(), None


def _drain_body_and_set_headers(response: Response) -> Response:
    current = current_request()
    current.drain_body()
    response.headers["X-Request-ID"] = current.id
    if current.is_dry_run:
        response.headers["Dry-Run"] = "true"
        # The row that a dry run creates is not there.
        response.headers.pop("Location", None)
    if current.client_request_id:
        response.headers["X-Client-Request-ID"] = current.client_request_id
    if current.trace_context:
        response.headers["traceresponse"] = str(current.trace_context)
    # `setdefault` and `in` would raise and catch an exception.
    if not current.is_public and not response.headers.getlist("Cache-Control"):
        response.headers["Cache-Control"] = "no-store"
    if response.status_code == HTTPStatus.NO_CONTENT:
        del response.headers["Content-Type"]
    return response


def _options_response() -> Response:
    methods = request.url_rule.methods if request.url_rule else None
    return _no_content_with_allow(methods)


def _no_content_with_allow(methods: Collection[str] | None) -> Response:
    return Response(status=204, headers={"Allow": ", ".join(sorted(methods or ()))})
