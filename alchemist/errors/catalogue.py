"""Problem types: the codes of error responses, each explained at `/problems/<code>`."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

# RFC 9110 §15.5 renamed these; Python 3.11 has the old phrases.
STATUS_PHRASES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}


@dataclass(frozen=True)
class ProblemType:
    """A problem type (RFC 9457 §3.1.1): its stable code, its status, and texts for people."""

    code: str
    status: int
    meaning: str
    example: str

    @property
    def title(self) -> str:
        """The phrase of the status."""
        return STATUS_PHRASES.get(self.status, HTTPStatus(self.status).phrase)


PROBLEM_TYPES: dict[str, ProblemType] = {}


def register(code: str, status: int, meaning: str, example: str) -> None:
    """Add a problem type; `example` is a detail as clients get it."""
    PROBLEM_TYPES[code] = ProblemType(code, status, meaning, example)


def problem_details(
    problem: ProblemType, detail: str, request_id: str, **extensions: Any
) -> dict[str, Any]:
    """Return the members of a problem (RFC 9457 §3.1) and its extensions, without those of None."""
    members = {
        "type": f"/problems/{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "detail": detail,
        "request_id": request_id,
        **extensions,
    }
    return {name: value for name, value in members.items() if value is not None}


for _problem in (
    ("bad-request", 400, "The request could not be understood.", "The request is not valid HTTP."),
    (
        "malformed-request",
        400,
        "A part of the request breaks the syntax of its format: the URL, a header, or the body. "
        "A body must be one JSON text in UTF-8 without a byte order mark, duplicate keys, NaN, "
        "Infinity, NUL characters, lone surrogates, nesting beyond 32 levels, "
        "or more than 100 members in one object.",
        "The body is not valid JSON: Expecting ',' delimiter at line 3, column 5.",
    ),
    (
        "unauthorized",
        401,
        "The operation needs a token, or the one that was sent is unknown, malformed, expired or "
        "revoked. Send `Authorization: Bearer alc_…`.",
        "Send a valid bearer token.",
    ),
    (
        "forbidden",
        403,
        "The caller does not hold the permission that `errors` names.",
        "This needs the permission potions:write.",
    ),
    (
        "not-local",
        403,
        "Access is open to everybody on the machine of this service, and the request came from "
        "elsewhere, or was meant for another host.",
        "Open access is for this machine alone.",
    ),
    (
        "not-found",
        404,
        "There is nothing at this path, or nothing that the caller may see.",
        "Ingredient does not exist",
    ),
    (
        "method-not-allowed",
        405,
        "The resource exists and does not offer this method; `Allow` lists those it does.",
        "The method is not allowed for the requested URL.",
    ),
    (
        "not-acceptable",
        406,
        "The `Accept` header excludes `application/json`, the only form that there is.",
        "This resource is available as application/json only.",
    ),
    (
        "request-timeout",
        408,
        "The request did not arrive whole in the time that there is for it. Nothing was changed.",
        "The request did not arrive in time.",
    ),
    (
        "conflict",
        409,
        "The request is valid and stands against what is stored.",
        "The row was changed at the same time.",
    ),
    (
        "in-use",
        409,
        "The row cannot be deleted while others refer to it; `errors` name some of them.",
        "Potions still contain this ingredient.",
    ),
    (
        "already-exists",
        409,
        "A value that must be unique is taken.",
        "The name “Mandrake” is taken.",
    ),
    (
        "precondition-failed",
        412,
        "Somebody changed the row since its ETag was read. The answer carries the row as it is "
        "now in `current` and its `ETag`: decide again with these.",
        "The row has changed since that ETag.",
    ),
    ("content-too-large", 413, "The body is larger than 1 MiB.", "The body exceeds 1 MiB."),
    ("uri-too-long", 414, "The URL is longer than the server reads.", "The URL is too long."),
    (
        "unsupported-media-type",
        415,
        "The body is not `application/json` in UTF-8 (or, for PATCH, "
        "`application/merge-patch+json`), or it is compressed.",
        "Send the body as application/json.",
    ),
    (
        "precondition-required",
        428,
        "PATCH and DELETE need `If-Match` with the ETag that GET answered, so that no change of "
        "somebody else's is lost. `If-Match: *` overwrites whatever is there.",
        "Send If-Match with the ETag of the row.",
    ),
    (
        "headers-too-large",
        431,
        "A header is longer, or there are more of them, than the server reads.",
        "The headers are too large.",
    ),
    (
        "internal",
        500,
        "A defect of the service. Report it with the `request_id`.",
        "The service failed to answer. Its operators can find the cause by the request id.",
    ),
    (
        "not-implemented",
        501,
        "The server does not know this method or transfer coding.",
        "The server does not support that.",
    ),
    (
        "bad-gateway",
        502,
        "The proxy in front of the service got no whole answer from it. Whether the request took "
        "effect is unknown: ask, or repeat a POST with its `Idempotency-Key`.",
        "The service broke off its answer.",
    ),
    (
        "gateway-timeout",
        504,
        "The proxy in front of the service waited in vain. Whether the request took effect is "
        "unknown: ask, or repeat a POST with its `Idempotency-Key`.",
        "The service did not answer in time.",
    ),
    (
        "unavailable",
        503,
        "The service is overloaded or cannot reach its database. Repeat the request after "
        "`Retry-After` seconds. Nothing was changed, unless the connection broke in the moment of "
        "storing: a POST with an `Idempotency-Key` is safe to repeat even then.",
        "The database cannot be reached.",
    ),
    (
        "invalid",
        422,
        "Several rules are broken; `errors` lists each with its place and its own code.",
        "2 values of the request are invalid.",
    ),
    ("required", 422, "A field that must be sent is absent.", "This field is required."),
    ("not-nullable", 422, "The field cannot be empty.", "This field cannot be null."),
    (
        "wrong-type",
        422,
        "The value has another JSON type, or another form, than the field.",
        "Not a string.",
    ),
    ("too-short", 422, "The value has too few characters or members.", "Must not be blank."),
    (
        "too-long",
        422,
        "The value has too many characters or members.",
        "Must be at most 127 characters long.",
    ),
    ("out-of-range", 422, "The number is outside its bounds.", "Must be between 1 and 200."),
    (
        "not-one-of",
        422,
        "The value is not among those that the field knows.",
        "Must be one of: pk, name, created_at.",
    ),
    ("duplicate", 422, "A member of a list is given twice.", "Given twice."),
    ("unknown-field", 422, "The resource has no such field.", "Unknown field."),
    (
        "read-only",
        422,
        "The field is set by the service. It may be sent back as it is stored, not changed.",
        "This field is read-only.",
    ),
    (
        "unknown-parameter",
        422,
        "The operation has no such query parameter.",
        "Unknown parameter.",
    ),
    (
        "repeated-parameter",
        422,
        "A query parameter may be given once.",
        "Given more than once.",
    ),
    (
        "unknown-reference",
        422,
        "A value names a row that does not exist. Version 1 answers 400 where the older service "
        "did.",
        "No ingredient 01935f2e-7c1a-7b3e-9d3c-0123456789ab.",
    ),
):
    register(*_problem)

CODE_BY_STATUS = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "request-timeout",
    413: "content-too-large",
    414: "uri-too-long",
    415: "unsupported-media-type",
    431: "headers-too-large",
    501: "not-implemented",
    503: "unavailable",
}


def code_for_status(status: int) -> str:
    """Return the problem code for an error that has only a status, as those of Flask have."""
    return CODE_BY_STATUS.get(status, "bad-request" if status < 500 else "internal")
