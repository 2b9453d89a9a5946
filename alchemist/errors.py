"""Every way to refuse a request, and the one place where exceptions become responses."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

from flask import Flask, Response, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from alchemist import problems
from alchemist.problems import PROBLEMS

Entry = dict[str, Any]


class Refusal(Exception):
    """A request that is not granted, for a reason that its sender can act on.

    `entries` say where: each has a `code`, a `detail`, and a `pointer` (body, RFC 6901), a
    `parameter` (query or path) or a `header`. If all of them share a code, the answer has it too.
    """

    code: ClassVar[str] = "bad-request"

    def __init__(
        self,
        detail: str,
        entries: Sequence[Entry] = (),
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.entries = list(entries)
        codes = {entry["code"] for entry in entries}
        self.problem = PROBLEMS[code or (codes.pop() if len(codes) == 1 else self.code)]
        self.headers = dict(headers or {})
        self.members = members

    @classmethod
    def at(cls, where: str, place: str, detail: str, code: str | None = None) -> Self:
        """Return a refusal with one entry; `where` is pointer, parameter or header."""
        return cls(detail, [{where: place, "code": code or cls.code, "detail": detail}])


class Malformed(Refusal):
    """Syntax that cannot be read: 400."""

    code = "malformed"


class Unauthorized(Refusal):
    """Nobody that is known, where somebody is needed: 401."""

    code = "unauthorized"


class Forbidden(Refusal):
    """Somebody who may not: 403."""

    code = "forbidden"

    @classmethod
    def without(cls, permission: str) -> Self:
        detail = f"This needs the permission {permission}."
        return cls(detail, [{"code": "forbidden", "detail": detail, "permission": permission}])


class NotFound(Refusal):
    code = "not-found"


class NotAcceptable(Refusal):
    code = "not-acceptable"


class Conflict(Refusal):
    """A valid request that stored rows stand in the way of: 409."""

    code = "conflict"


class Stale(Refusal):
    code = "stale"


class TooLarge(Refusal):
    code = "content-too-large"


class UnsupportedMediaType(Refusal):
    code = "unsupported-media-type"


class Invalid(Refusal):
    """A well-formed request that breaks rules: 422; `entries` name every one of them."""

    code = "invalid"

    @classmethod
    def all(cls, entries: Sequence[Entry]) -> Self:
        if len(entries) == 1:
            return cls(entries[0]["detail"], entries)
        return cls(f"{len(entries)} values of the request are not as they must be.", entries)


class PreconditionRequired(Refusal):
    code = "precondition-required"


class Unavailable(Refusal):
    """The service cannot answer now; the same request may succeed soon: 503."""

    code = "unavailable"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class Outdated(Unavailable):
    """What the request has read is no longer so; begun anew, it finds what is."""


_CODES = {
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


def respond(refusal: Refusal) -> Response:
    request.refusal = refusal  # type: ignore[attr-defined]
    members = problems.body(
        refusal.problem,
        refusal.detail,
        request.id,  # type: ignore[attr-defined]
        errors=refusal.entries or None,
        **refusal.members,
    )
    return Response(
        json.dumps(members, ensure_ascii=False),
        refusal.problem.status,
        refusal.headers,
        mimetype="application/problem+json",
    )


# Where the framework's own words would tell too much, or too little.
_DETAILS = {
    "internal": PROBLEMS["internal"].example,
    "not-found": "There is nothing at this path.",
    "method-not-allowed": "This resource does not offer the method.",
}


def code_of(status: int) -> str:
    """Return the code of an error that the framework or the server finds."""
    return _CODES.get(status, "bad-request" if status < 500 else "internal")


def of_http(error: HTTPException) -> Refusal:
    """Return the refusal that stands for an exception of the framework, its headers kept."""
    code = code_of(error.code or 500)
    detail = _DETAILS.get(code) or error.description or PROBLEMS[code].example
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    refusal = Refusal(detail, code=code, headers=headers)
    refusal.__cause__ = getattr(error, "original_exception", None)
    return refusal


def init_app(app: Flask, of_database: Callable[[SQLAlchemyError], Refusal | None]) -> None:
    """Answer every exception; `of_database` tells what the database's mean."""

    def database(error: SQLAlchemyError) -> Response:
        if refusal := of_database(error):
            refusal.__cause__ = error
            return respond(refusal)
        raise error

    def http(error: HTTPException) -> Response:
        return error.response if error.response else respond(of_http(error))  # type: ignore[return-value]

    app.register_error_handler(Refusal, respond)
    app.register_error_handler(SQLAlchemyError, database)
    app.register_error_handler(HTTPException, http)
