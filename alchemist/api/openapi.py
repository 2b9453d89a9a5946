"""Parts of the OpenAPI documents: shared headers, parameters, responses and examples."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask_smorest.utils import deepupdate

from alchemist import errors
from alchemist.errors import ProblemType

View = Callable[..., Any]

REQUEST_ID_EXAMPLE = "0f8fad5bd9cb469fa16570867728950e"
ETAG_EXAMPLE = '"6ad1ade520b9b8676f7b9542"'


def header_object(
    description: str, example: str | int, *, required: bool = True, **schema: Any
) -> dict[str, Any]:
    """Return a header object (OpenAPI 3.1 §4.8.21); `schema` adds to `type: string`.

    `required` is whether every such response has the header.
    """
    return {
        "description": description,
        "required": required,
        "schema": {"type": "string", **schema},
        "example": example,
    }


REQUEST_ID_HEADERS = {
    "X-Request-ID": header_object("A new id, which is in the logs too.", REQUEST_ID_EXAMPLE),
}
# Components, because every response may have them.
RATE_LIMIT_HEADERS = {
    "RateLimit-Policy": header_object(
        "Only if requests are limited: the quota `q` in `w` seconds of each policy that this "
        "request is counted under (draft-ietf-httpapi-ratelimit-headers-11).",
        '"requests";q=600;w=60',
        required=False,
    ),
    "RateLimit": header_object(
        "Only if requests are limited: the requests `r` that are left in the next `t` seconds.",
        '"requests";r=599;t=60',
        required=False,
    ),
}
COMMON_HEADERS = REQUEST_ID_HEADERS | {name: name for name in RATE_LIMIT_HEADERS}
ETAG_HEADERS = {"ETag": header_object("The strong entity tag of the representation.", ETAG_EXAMPLE)}
# The example of `Location` and of `Link` depends on the path: `docs` adds it.
LOCATION_HEADERS = {
    "Location": header_object(
        "The path of the created row; not with `dry_run`.", "", required=False
    )
}
LIST_HEADERS = {
    "Link": header_object('RFC 8288: `rel="first"`, and `rel="next"` if there are more rows.', ""),
    "X-Total-Count": header_object(
        "Only with `count=exact`: at most 10,000.", 50, required=False, type="integer"
    ),
    "X-Total-Count-Exceeded": header_object(
        "Only with `count=exact`, if there are more rows.", "true", required=False
    ),
}
RETRY_AFTER_HEADERS = {"Retry-After": header_object("Seconds to wait.", 1, type="integer")}

ENTITY_TAG_PATTERN = r'(W/)?"[!#-~]*"'
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "Entity tags of representations that the client has; compared weakly.",
    "schema": {"type": "string", "examples": [ETAG_EXAMPLE]},
}
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "required": True,
    # No example: a value that works without a GET would overwrite the changes of others.
    "description": "The `ETag` of the last GET; `*` accepts any state of the row.",
    "schema": {
        "type": "string",
        "pattern": rf"^(\*|{ENTITY_TAG_PATTERN}(, ?{ENTITY_TAG_PATTERN})*)$",
    },
}
OPTIONAL_IF_MATCH = IF_MATCH | {
    "required": False,
    "description": "The `ETag` of the last GET: if the row has changed since, the answer is 412.",
}
CODES = "x-problem-codes"


def documented_like(wrapper: View, view: View, **operation: Any) -> View:
    """Return `wrapper` with the name, docstring and documentation of `view`, and with `operation`.

    `operation` is merged into the operation object of flask-smorest; its parameters and problem
    codes are added to those that are documented already. Unlike `Blueprint.doc`, this adds no call
    at run time.
    """
    wrapper.__name__, wrapper.__doc__ = view.__name__, view.__doc__
    wrapper.__module__ = view.__module__
    apidoc = getattr(view, "_apidoc", {})
    documented, arguments = dict(apidoc.get("manual_doc", {})), dict(apidoc.get("arguments", {}))
    if CODES in operation:
        operation[CODES] = [*documented.get(CODES, ()), *operation[CODES]]
    # In the manual documentation, they would replace those of a query schema.
    lists = arguments, documented, operation
    if parameters := [each for known in lists for each in known.pop("parameters", ())]:
        apidoc = {**apidoc, "arguments": {**arguments, "parameters": parameters}}
    manual_doc = deepupdate(documented, operation)
    wrapper._apidoc = {**apidoc, "manual_doc": manual_doc}  # type: ignore[attr-defined]
    return wrapper


def path_parameter_example(name: str, example: str) -> dict[str, Any]:
    """Return the example of a path parameter, for operations that work on some rows only."""
    return {"in": "path", "name": name, "example": example}


def response_object(
    description: str,
    schema: Any,
    headers: dict[str, Any],
    example: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a response object with a JSON body, or with none if `schema` is None.

    `example` has the members of the example that are not those of the schema's fields.
    """
    body = {"schema": schema} | ({"example": dict(example)} if example else {})
    content = {"content": {"application/json": body}} if schema else {}
    return {"description": description, "headers": COMMON_HEADERS | headers, **content}


def with_common_error_responses(*statuses: int) -> dict[int, str]:
    """Return references to the error responses of these statuses and of every operation.

    There is no `default`, so that tests can tell whether a response is documented.
    """
    common = {400, 414, 422, 429, 431, 503}
    return {status: response_component_name(status) for status in sorted({*common, *statuses})}


def response_component_name(status: int) -> str:
    """Return the name of the response component of a status, such as NotFound."""
    return errors.status_phrase(status).replace(" ", "")


def request_body_object(
    schema: Any, media_types: Iterable[str], description: str | None = None
) -> dict[str, Any]:
    """Return a request body object: required, with one schema for all media types."""
    described = {"description": description} if description else {}
    content = {name: {"schema": schema} for name in media_types}
    return {**described, "required": True, "content": content}


# Members of the error in the example of a problem code: its location, if that is not the field
# `name` of the body, and what the description of the code promises.
EXAMPLE_ERROR_MEMBERS: dict[str, dict[str, Any]] = {
    "already-exists": {"pointer": "#/name"},
    "coupon-exhausted": {"pointer": "#/coupon_code"},
    "coupon-limit-reached": {"pointer": "#/coupon_code"},
    "coupon-not-valid": {"pointer": "#/coupon_code"},
    "duplicate": {"pointer": "#/ingredients/1"},
    "forbidden": {"permission": "potions:write"},
    "idempotency-key-reused": {"header": "Idempotency-Key"},
    "in-use": {},
    "mixed-currencies": {"pointer": "#/items"},
    "not-one-of": {"parameter": "sort"},
    "out-of-range": {"parameter": "limit"},
    "out-of-stock": {"pointer": "#/items/0", "requested": 5, "available": 3},
    "price-changed": {
        "pointer": "#/expected_totals",
        "totals": [{"currency": "EUR", "total": "25.00"}],
    },
    "read-only": {"pointer": "#/pk"},
    "repeated-parameter": {"parameter": "limit"},
    "invalid-cursor": {"parameter": "cursor"},
    "unknown-field": {"pointer": "#/colour"},
    "unknown-parameter": {"parameter": "colour"},
    "unknown-reference": {"pointer": "#/ingredients/1"},
}


CURRENT_ROW_EXAMPLE = {
    "current": {
        "pk": "0195611f-cab7-7257-82b1-5963602913a4",
        "name": "Moonstone dust",
        "description": None,
        "created_at": "2026-11-20T07:15:00.123456+00:00",
        "updated_at": "2026-11-20T07:16:30.654321+00:00",
    }
}
EXAMPLE_EXTENSIONS: dict[str, dict[str, Any]] = {
    "precondition-failed": CURRENT_ROW_EXAMPLE,
    "weak-etag": CURRENT_ROW_EXAMPLE,
    "wrong-status": {"allowed_transitions": ["fulfil", "cancel"]},
}


def example_problem(problem: ProblemType) -> dict[str, Any]:
    """Return example problem details (RFC 9457 §3) of a problem type."""
    has_location = problem.status == 422 or problem.code in EXAMPLE_ERROR_MEMBERS
    details = [_example_error_detail(problem)] if has_location else None
    if problem.code == "invalid":
        several = [errors.PROBLEM_TYPES[code] for code in ("required", "unknown-parameter")]
        details = [_example_error_detail(each) for each in several]
    extensions = EXAMPLE_EXTENSIONS.get(problem.code, {})
    return errors.problem_details(
        problem, problem.example, REQUEST_ID_EXAMPLE, errors=details, **extensions
    )


def _example_error_detail(problem: ProblemType) -> errors.ErrorDetail:
    members = EXAMPLE_ERROR_MEMBERS.get(problem.code, {"pointer": "#/name"})
    return {**members, "code": problem.code, "detail": problem.example}
