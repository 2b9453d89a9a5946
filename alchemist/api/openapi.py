"""The parts of the OpenAPI documents that operations share."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from flask_smorest.utils import deepupdate

from alchemist import errors
from alchemist.errors import ProblemType

View = Callable[..., Any]

REQUEST_ID_EXAMPLE = "0f8fad5bd9cb469fa16570867728950e"
ETAG_EXAMPLE = '"6ad1ade520b9b8676f7b9542"'


def header(description: str, example: str | int, **schema: Any) -> dict[str, Any]:
    return {
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


REQUEST_ID_HEADERS = {"X-Request-ID": header("The caller's own, or a new one.", REQUEST_ID_EXAMPLE)}
ETAG_HEADERS = {"ETag": header("The strong entity tag of the representation.", ETAG_EXAMPLE)}
# The examples of these two are those of the operation, put in with its path.
LOCATION_HEADERS = {"Location": header("The path of the new row.", "")}
LIST_HEADERS = {
    "Link": header('RFC 8288: `rel="first"`, and `rel="next"` when there is more.', ""),
    "X-Total-Count": header("Only with `count=exact`.", 50, type="integer"),
}
RETRY_AFTER_HEADERS = {"Retry-After": header("Seconds to wait.", 1, type="integer")}

TAGS = r'(W/)?"[!#-~]*"'
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "Entity tags that the client has; compared weakly.",
    "schema": {"type": "string", "examples": [ETAG_EXAMPLE]},
}
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "required": True,
    "description": "The ETag that GET answered, or `*` for whatever is there.",
    "schema": {
        "type": "string",
        "pattern": rf"^(\*|{TAGS}(, ?{TAGS})*)$",
        "examples": ["*"],
    },
    "example": "*",
}


def with_openapi(act: View, view: View, **operation: Any) -> View:
    """Let `act` stand for `view`, name and docstring included, and add `operation` to what
    flask-smorest will write about it. Unlike `Blueprint.doc` it costs nothing at run time.

    Parameters join those that are known already.
    """
    act.__name__, act.__doc__, act.__module__ = view.__name__, view.__doc__, view.__module__
    known = getattr(view, "_apidoc", {})
    before = known.get("manual_doc", {})
    if "parameters" in operation:
        operation["parameters"] = [*before.get("parameters", ()), *operation["parameters"]]
    act._apidoc = {**known, "manual_doc": deepupdate(dict(before), operation)}  # type: ignore[attr-defined]
    return act


def path_parameter_example(name: str, example: str) -> dict[str, Any]:
    """Return what an operation says of a parameter in its path, where only some rows will do."""
    return {"in": "path", "name": name, "example": example}


def response(description: str, schema: Any, headers: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"description": description, "headers": REQUEST_ID_HEADERS | headers}
    return found | {"content": {"application/json": {"schema": schema}}} if schema else found


def error_responses(*statuses: int) -> dict[int, str]:
    """Return references to the answers that say no; those of every operation included.

    There is no `default` among them, so that an answer that is not documented can be told.
    """
    every = {400, 414, 422, 431, 503}
    return {status: response_component_name(status) for status in sorted({*every, *statuses})}


def response_component_name(status: int) -> str:
    """Return the name of the shared answer of a status, such as NotFound."""
    return errors.STATUS_PHRASES.get(status, HTTPStatus(status).phrase).replace(" ", "")


def request_body(schema: Any, media_types: Iterable[str]) -> dict[str, Any]:
    return {"required": True, "content": {name: {"schema": schema} for name in media_types}}


# What stands in the entries of those codes that are not about a field of the body called `name`.
EXAMPLE_LOCATIONS = {
    "ambiguous": {"pointer": "#/store_id"},
    "already-exists": {"pointer": "#/name"},
    "duplicate": {"pointer": "#/ingredients/1"},
    "forbidden": {"permission": "potions:write"},
    "idempotency-key-reused": {"header": "Idempotency-Key"},
    "in-use": {},
    "mixed-currencies": {"pointer": "#/items"},
    "not-one-of": {"parameter": "sort"},
    "out-of-range": {"parameter": "limit"},
    "read-only": {"pointer": "#/pk"},
    "repeated-parameter": {"parameter": "limit"},
    "invalid-cursor": {"parameter": "cursor"},
    "unknown-field": {"pointer": "#/colour"},
    "unknown-parameter": {"parameter": "colour"},
    "unknown-reference": {"pointer": "#/ingredients/1"},
}


EXAMPLE_EXTENSIONS = {
    "precondition-failed": {
        "current": {
            "pk": "0195611f-cab7-7257-82b1-5963602913a4",
            "name": "Moonstone dust",
            "description": None,
            "created_at": "2026-11-20T07:15:00.123456+00:00",
            "updated_at": "2026-11-20T07:16:30.654321+00:00",
        }
    }
}


def example(problem: ProblemType) -> dict[str, Any]:
    """Return a problem as a client may get it."""
    entries = (
        [_entry(problem)] if problem.status == 422 or problem.code in EXAMPLE_LOCATIONS else None
    )
    if problem.code == "invalid":
        entries = [_entry(errors.PROBLEM_TYPES[code]) for code in ("required", "unknown-parameter")]
    members = EXAMPLE_EXTENSIONS.get(problem.code, {})
    return errors.problem_details(
        problem, problem.example, REQUEST_ID_EXAMPLE, errors=entries, **members
    )


def _entry(problem: ProblemType) -> dict[str, Any]:
    place = EXAMPLE_LOCATIONS.get(problem.code, {"pointer": "#/name"})
    return {**place, "code": problem.code, "detail": problem.example}
