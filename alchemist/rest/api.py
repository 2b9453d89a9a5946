"""flask-smorest's Api: names of schemas, shared components, and no error handler of its own."""

from http import HTTPStatus
from typing import Any

import flask_smorest
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask, Response
from marshmallow import Schema

from alchemist import fields, problems

from . import openapi
from .request import Request, request

STATUSES_WITH_HEADERS = {
    405: {"Allow": openapi.header("The methods that there are.", "GET, HEAD, OPTIONS, POST")},
    412: openapi.ETAG,
    503: {"Retry-After": openapi.header("Seconds to wait.", "1")},
}


class ProblemEntrySchema(Schema):
    pointer = fields.Text(max=1000, metadata={"description": "Where in the body (RFC 6901)."})
    parameter = fields.Text(max=1000, metadata={"description": "Which query or path parameter."})
    header = fields.Text(max=1000, metadata={"description": "Which header."})
    code = fields.Text(required=True, max=64, metadata={"description": "Stable; see its page."})
    detail = fields.Text(required=True, max=1000, metadata={"description": "For people."})


class ProblemSchema(Schema):
    """RFC 9457."""

    type = fields.Text(required=True, max=100, example="/problems/not-found")
    title = fields.Text(required=True, max=100)
    status = fields.Whole(required=True, min=400, max=599)
    code = fields.Text(required=True, max=64)
    detail = fields.Text(required=True, max=1000)
    request_id = fields.Text(required=True, max=64)
    errors = fields.Many(fields.Nested(ProblemEntrySchema))


class Api(flask_smorest.Api):
    """One version of the API and its document."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask, version: str, description: str) -> None:
        prefix = f"{version}_"
        app.config[f"{prefix.upper()}OPENAPI_URL_PREFIX"] = None
        super().__init__(
            app,
            config_prefix=prefix,
            spec_kwargs={
                "title": "Alchemist",
                "version": version,
                "openapi_version": "3.1.0",
                "marshmallow_plugin": _Plugin(schema_name_resolver=_schema_name),
                "info": {"description": description, "license": {"name": "MIT"}},
                "servers": [{"url": "/"}],
            },
        )

    def _register_error_handlers(self) -> None:
        """`errors.py` answers for every version and for what is outside of them."""

    def _register_responses(self) -> None:
        for status in sorted({problem.status for problem in problems.PROBLEMS.values()}):
            self.spec.components.response(HTTPStatus(status).name, _refusal(status), lazy=True)

    def _init_spec(self, **options: Any) -> None:
        super()._init_spec(**options)
        self.register_field(fields.Exact, "string", "decimal")
        self.ma_plugin.converter.add_attribute_function(_alternatives)


def _refusal(status: int) -> dict[str, Any]:
    known = [problem for problem in problems.PROBLEMS.values() if problem.status == status]
    examples = {
        problem.code: {"value": problems.body(problem, problem.example, "0f8fad5bd9cb469f")}
        for problem in known
    }
    content = {"schema": ProblemSchema, "examples": examples}
    return {
        "description": known[0].title,
        "headers": openapi.REQUEST_ID | STATUSES_WITH_HEADERS.get(status, {}),
        "content": {"application/problem+json": content},
    }


def _schema_name(schema: type[Schema] | Schema) -> str:
    """Name what is written apart from what is read: they differ in what they require."""
    found = schema() if isinstance(schema, type) else schema
    name = type(found).__name__.removesuffix("Schema")
    if found.partial:
        return f"{name}Patch"
    return f"New{name}" if found.exclude else name


class _Converter(OpenAPIConverter):
    """Says that every field of an answer is there, and what a written one may be instead."""

    def schema2jsonschema(self, schema: Schema) -> dict[str, Any]:
        found: dict[str, Any] = super().schema2jsonschema(schema)
        if not schema.exclude and not schema.partial:
            found["required"] = list(found["properties"])
        return found


class _Plugin(MarshmallowPlugin):
    Converter = _Converter


def _alternatives(self: Any, field: Any, ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Document that a field takes a short form where it is written."""
    short = getattr(field, "short_form", None)
    if short is None or not field.root.exclude:
        return {}
    long = dict(ret)
    ret.clear()
    return {"anyOf": [short, long]}


def init_app(app: Flask) -> None:
    app.request_class = Request
    # Flask types this attribute as a method of the class.
    app.make_default_options_response = _options  # type: ignore[method-assign]
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.before_request(_check_url)
    app.after_request(_identify)


def _check_url() -> None:
    request.check_url()


def _identify(response: Response) -> Response:
    response.headers["X-Request-ID"] = request.id
    if response.status_code == HTTPStatus.NO_CONTENT:
        del response.headers["Content-Type"]
    return response


def _options() -> Response:
    allowed = request.url_rule.methods if request.url_rule else None
    return Response(status=204, headers={"Allow": ", ".join(sorted(allowed or ()))})
