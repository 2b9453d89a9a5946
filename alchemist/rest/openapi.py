"""The parts of the OpenAPI documents that operations share."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from flask_smorest.utils import deepupdate

View = Callable[..., Any]


def header(description: str, example: str | int, **schema: Any) -> dict[str, Any]:
    return {
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


REQUEST_ID = {
    "X-Request-ID": header("The caller's own, or a new one.", "0f8fad5bd9cb469fa16570867728950e")
}
ETAG = {"ETag": header("The strong entity tag of the representation.", '"c0ffee"')}
LOCATION = {
    "Location": header(
        "The path of the new row.", "/api/v2/potions/01935f2e-7c1a-7b3e-9d3c-0123456789ab"
    )
}
LIST = {
    "Link": header(
        'RFC 8288: `rel="first"`, and `rel="next"` when there is more.',
        '</api/v2/potions?limit=2&cursor=WyIwIl0>; rel="next"',
    ),
    "X-Total-Count": header("Only with `count=exact`.", 50, type="integer"),
}
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "Entity tags that the client has; compared weakly.",
    "schema": {"type": "string"},
}
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "required": True,
    "description": "The ETag that GET answered, or `*` for whatever is there.",
    "schema": {"type": "string", "examples": ["*"]},
    "example": "*",
}


def documented(act: View, view: View, **operation: Any) -> View:
    """Let `act` stand for `view`, name and docstring included, and add `operation` to what
    flask-smorest will write about it. Unlike `Blueprint.doc` it costs nothing at run time.
    """
    act.__name__, act.__doc__, act.__module__ = view.__name__, view.__doc__, view.__module__
    known = getattr(view, "_apidoc", {})
    manual = deepupdate(dict(known.get("manual_doc", {})), operation)
    act._apidoc = {**known, "manual_doc": manual}  # type: ignore[attr-defined]
    return act


def response(description: str, schema: Any, headers: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"description": description, "headers": REQUEST_ID | headers}
    return found | {"content": {"application/json": {"schema": schema}}} if schema else found


def refusals(*statuses: int) -> dict[int, str]:
    """Return references to the answers that say no; those of every operation included."""
    return {status: HTTPStatus(status).name for status in sorted({400, 422, *statuses})}


def body(schema: Any, media_types: Iterable[str]) -> dict[str, Any]:
    return {"required": True, "content": {name: {"schema": schema} for name in media_types}}
