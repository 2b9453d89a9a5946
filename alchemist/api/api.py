"""flask-smorest's Api: names of schemas, shared components, and no error handler of its own."""

from http import HTTPStatus
from typing import Any

import flask_smorest
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, Response, current_app
from marshmallow import INCLUDE, Schema, missing
from marshmallow.fields import Dict, Integer, List, Nested, String
from werkzeug.exceptions import MethodNotAllowed, NotFound

from alchemist import errors
from alchemist.api import pagination

from . import fields, openapi
from .request import JSON, MERGE_PATCH, Request, request
from .resource import close_session

ERROR_HEADERS = {
    401: {"WWW-Authenticate": openapi.header("How to ask.", 'Bearer realm="alchemist"')},
    405: {"Allow": openapi.header("The methods that there are.", "GET, HEAD, OPTIONS, POST")},
    409: {
        "Retry-After": openapi.header(
            "Seconds to wait; with `request-in-progress`.", 1, type="integer"
        )
    },
    412: openapi.ETAG_HEADERS,
    415: {
        "Accept": openapi.header("The media type that a POST takes.", JSON),
        "Accept-Patch": openapi.header(
            "The media types that a PATCH takes (RFC 5789).",
            f"{JSON}, {MERGE_PATCH}",
        ),
    },
    503: openapi.RETRY_AFTER_HEADERS,
}

BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "`alc_` and 36 letters and digits",
    "description": "A token as `POST /api/v2/users/{user_id}/tokens` answers it, once. It permits "
    "what the role of its user does, or less.",
}

COMMON_FIELD_DESCRIPTIONS = {
    "pk": "The primary key: a UUIDv7, so that keys are in the order of creation.",
    "created_at": "When the row was made.",
    "updated_at": "When the row was last changed.",
}


def _string_field(description: str, example: str, **how: Any) -> String:
    """Return a field of a refusal, without bounds: some repeat what the client said."""
    return String(metadata={"description": description, "examples": [example]}, **how)


class ErrorDetailSchema(Schema):
    """What is wrong at one place."""

    class Meta:
        unknown = INCLUDE

    pointer = _string_field("Where in the body (RFC 6901).", "#/name")
    parameter = _string_field("Which query or path parameter.", "limit")
    header = _string_field("Which header.", "If-Match")
    permission = _string_field("With `forbidden`: the one that is missing.", "potions:write")
    code = _string_field("Stable, and explained at `/problems/<code>`.", "too-long", required=True)
    detail = _string_field("For people; its wording may change.", "Too long.", required=True)


class ProblemSchema(Schema):
    """RFC 9457."""

    class Meta:
        unknown = INCLUDE

    type = _string_field("The page that explains the code.", "/problems/not-found", required=True)
    title = _string_field("The phrase of the status.", "Not Found", required=True)
    status = Integer(
        required=True, metadata={"description": "The status of the answer.", "examples": [404]}
    )
    code = _string_field("Stable: what a program decides by.", "not-found", required=True)
    detail = _string_field("For people; its wording may change.", "No such row.", required=True)
    request_id = _string_field("As in `X-Request-ID`.", openapi.REQUEST_ID_EXAMPLE, required=True)
    errors = List(
        Nested(ErrorDetailSchema),
        metadata={"description": "Everything that is wrong, each with its place."},
    )
    current = Dict(metadata={"description": "With `precondition-failed`: the row as it is now."})


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
                "marshmallow_plugin": MarshmallowPlugin(schema_name_resolver=_schema_name),
                "info": {
                    "description": description,
                    "license": {"name": "MIT", "identifier": "MIT"},
                },
                "servers": [{"url": "/"}],
            },
        )

    def _register_error_handlers(self) -> None:
        """`errors.py` answers for every version and for what is outside of them."""

    def _register_etag_headers(self) -> None:
        """The decorators document their own."""

    def _register_pagination_header(self) -> None:
        """The decorators document their own."""

    def _register_responses(self) -> None:
        for status in sorted({problem.status for problem in errors.PROBLEM_TYPES.values()}):
            # Every document says who may; the other answers are in it as operations have them.
            lazy = status not in (401, 403)
            self.spec.components.response(
                openapi.response_component_name(status), _error_response(status), lazy=lazy
            )

    def _init_spec(self, **options: Any) -> None:
        super()._init_spec(**options)
        self.spec.components.security_scheme("bearer", BEARER)
        self.register_field(fields.DecimalString, "string", "decimal")
        self.ma_plugin.converter.add_attribute_function(_describe_common_fields)
        self.ma_plugin.converter.add_attribute_function(_default)
        self.ma_plugin.converter.add_attribute_function(_document_shorthand)
        self.ma_plugin.converter.add_attribute_function(_document_request_type)
        self.ma_plugin.converter.add_parameter_attribute_function(_document_query_parameter)


def _error_response(status: int) -> dict[str, Any]:
    known = [problem for problem in errors.PROBLEM_TYPES.values() if problem.status == status]
    examples = {
        problem.code: {"description": problem.meaning, "value": openapi.example(problem)}
        for problem in known
    }
    content = {"schema": ProblemSchema, "examples": examples}
    return {
        "description": f"{known[0].title}.",
        "headers": openapi.REQUEST_ID_HEADERS | ERROR_HEADERS.get(status, {}),
        "content": {"application/problem+json": content},
    }


def _schema_name(schema: type[Schema] | Schema) -> str:
    """Name what is written apart from what is read: they differ in what they require."""
    found = schema() if isinstance(schema, type) else schema
    name = type(found).__name__.removesuffix("Schema")
    if found.partial:
        return f"{name}Update"
    return f"{name}Create" if found.exclude else name


def _describe_common_fields(self: Any, field: Any, ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Describe the fields that every row has."""
    usual = COMMON_FIELD_DESCRIPTIONS.get(field.name) if field.dump_only else None
    return {"description": usual} if usual and "description" not in ret else {}


def _document_shorthand(self: Any, field: Any, ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Document that a field takes a short form where it is written."""
    short = getattr(field, "shorthand_schema", None)
    if short is None or not field.root.exclude:
        return {}
    long = dict(ret)
    ret.clear()
    return {"anyOf": [short, long]}


def _document_request_type(self: Any, field: Any, **_: Any) -> dict[str, Any]:
    """Document what a field takes, where that is more than what it answers."""
    more: dict[str, Any] = getattr(field, "request_schema", {})
    return more if more and field.root.exclude else {}


def _default(self: Any, field: Any, **_: Any) -> dict[str, Any]:
    """Document the default as a client writes it, where that is not what the view gets."""
    return {} if field.dump_default is missing else {"default": field.dump_default}


def _document_query_parameter(
    self: Any, field: Any, ret: dict[str, Any], **_: Any
) -> dict[str, Any]:
    """Document that a parameter is absent rather than null, and how it lists several values."""
    schema = ret["schema"]
    if field.allow_none:
        schema["type"] = schema["type"][0]
    if schema.get("default", missing) is None:
        del schema["default"]
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    if isinstance(field, pagination.Sort):
        schema["pattern"] = rf"^(?!.*\b(\w+)\b.*\b\1\b){schema['pattern'].removeprefix('^')}"
    return {"style": "form", "explode": False} if isinstance(field, fields.UuidList) else {}


def init_app(app: Flask) -> None:
    app.request_class = Request
    # Flask types this attribute as a method of the class.
    app.make_default_options_response = _options_response  # type: ignore[method-assign]
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.before_request(_validate_target)
    app.before_request(_method_not_allowed_without_slash)
    app.after_request(_finalize)
    app.teardown_appcontext(close_session)


def _validate_target() -> None:
    request.check_host()
    request.check_url()


def _method_not_allowed_without_slash() -> None:
    """Let a method that is not there be 405 where the path lacks the slash of its rule, too.

    There werkzeug finds the methods that there are, and does not gather them for the others.
    """
    if isinstance(request.routing_exception, NotFound):
        adapter = current_app.create_url_adapter(request)
        if adapter and (methods := adapter.allowed_methods(f"{request.path}/")):
            request.routing_exception = MethodNotAllowed(methods)


def _finalize(response: Response) -> Response:
    request.drain()
    response.headers["X-Request-ID"] = request.id
    if response.status_code == HTTPStatus.NO_CONTENT:
        del response.headers["Content-Type"]
    return response


def _options_response() -> Response:
    allowed = request.url_rule.methods if request.url_rule else None
    return Response(status=204, headers={"Allow": ", ".join(sorted(allowed or ()))})
