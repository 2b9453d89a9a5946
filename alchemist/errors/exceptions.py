"""Exceptions that end a request with an error response, each with its problem type."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from .catalogue import PROBLEM_TYPES

ErrorDetail = dict[str, Any]
MAX_ERRORS = 100


class ApiError(Exception):
    """An error that the client is answered with, as problem details (RFC 9457).

    `detail` is for people. Each of `errors` has a `code`, a `detail`, and one location: `pointer`
    (into the body, RFC 6901 §6), `parameter` (query or path) or `header`. Without `code`, the
    problem has the code that all of `errors` share, else the code of the class. `status` overrides
    the status of the problem type. `extensions` are extension members (RFC 9457 §3.2).

    At most 100 errors are listed; the extension member `unlisted_errors` is how many more there
    are, and the detail says so.
    """

    code: ClassVar[str] = "bad-request"

    def __init__(
        self,
        detail: str,
        errors: Sequence[ErrorDetail] = (),
        *,
        code: str | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        if len(errors) > MAX_ERRORS:
            detail = f"{detail} Only the first {MAX_ERRORS} are listed."
            extensions["unlisted_errors"] = len(errors) - MAX_ERRORS
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors[:MAX_ERRORS])
        codes = {error["code"] for error in errors}
        problem_type = PROBLEM_TYPES[code or (codes.pop() if len(codes) == 1 else self.code)]
        self.problem_type = replace(problem_type, status=status) if status else problem_type
        self.headers = dict(headers or {})
        self.extensions = extensions

    @classmethod
    def at_location(cls, kind: str, location: str, detail: str, code: str | None = None) -> Self:
        """Return an error about one value; `kind` is `pointer`, `parameter` or `header`."""
        return cls(detail, [{kind: location, "code": code or cls.code, "detail": detail}])


class BadRequest(ApiError):
    """The syntax of the request is wrong: 400 (RFC 9110 §15.5.1)."""

    code = "malformed-request"


class Unauthorized(ApiError):
    """The request has no valid credentials, and needs some: 401 (RFC 9110 §15.5.2)."""

    code = "unauthorized"


class Forbidden(ApiError):
    """The caller lacks a permission: 403 (RFC 9110 §15.5.4)."""

    code = "forbidden"

    @classmethod
    def missing_permission(cls, permission: str, pointers: Sequence[str] = ()) -> Self:
        """Return the error that names the permission the caller lacks, and what needs it."""
        detail = f"This needs the permission {permission}."
        entry = {"code": "forbidden", "detail": detail, "permission": permission}
        return cls(detail, [{"pointer": pointer, **entry} for pointer in pointers] or [entry])


class NotFound(ApiError):
    """The row does not exist, or the caller may not see it: 404 (RFC 9110 §15.5.5)."""

    code = "not-found"


class NotAcceptable(ApiError):
    """The Accept header excludes every representation: 406 (RFC 9110 §15.5.7)."""

    code = "not-acceptable"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Vary": "Accept"})


class Conflict(ApiError):
    """The request is valid, but conflicts with stored rows: 409 (RFC 9110 §15.5.10)."""

    code = "conflict"


class PreconditionFailed(ApiError):
    """The If-Match header does not match the current ETag: 412 (RFC 9110 §15.5.13)."""

    code = "precondition-failed"


class ContentTooLarge(ApiError):
    """The body exceeds the limit: 413 (RFC 9110 §15.5.14)."""

    code = "content-too-large"


class UnsupportedMediaType(ApiError):
    """The media type or coding of the body is not accepted: 415 (RFC 9110 §15.5.16)."""

    code = "unsupported-media-type"


class UnprocessableContent(ApiError):
    """The request is well-formed, but its values are invalid: 422 (RFC 9110 §15.5.21)."""

    code = "invalid"

    @classmethod
    def from_errors(cls, errors: Sequence[ErrorDetail]) -> Self:
        """Return one exception for all errors of a request."""
        if len(errors) == 1:
            return cls(errors[0]["detail"], errors)
        return cls(f"{len(errors)} values of the request are invalid.", errors)


class PreconditionRequired(ApiError):
    """The request needs an If-Match header: 428 (RFC 6585 §3)."""

    code = "precondition-required"


class RateLimited(ApiError):
    """Too many requests; the client may repeat after `retry_after` seconds: 429 (RFC 6585 §4)."""

    code = "rate-limited"

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class ServiceUnavailable(ApiError):
    """The same request may succeed after `retry_after` seconds: 503 (RFC 9110 §15.6.4)."""

    code = "unavailable"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class RetryRequest(ServiceUnavailable):
    """Data that the request read has changed meanwhile: the service retries the whole request."""
