"""The exceptions that a request may end with, each with its problem type."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from .catalogue import PROBLEM_TYPES

ErrorDetail = dict[str, Any]


class ApiError(Exception):
    """A request that is not granted, for a reason that its sender can act on.

    `entries` say where: each has a `code`, a `detail`, and a `pointer` (body, RFC 6901), a
    `parameter` (query or path) or a `header`. If all of them share a code, the answer has it too.
    """

    code: ClassVar[str] = "bad-request"

    def __init__(
        self,
        detail: str,
        entries: Sequence[ErrorDetail] = (),
        *,
        code: str | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.entries = list(entries)
        codes = {entry["code"] for entry in entries}
        problem = PROBLEM_TYPES[code or (codes.pop() if len(codes) == 1 else self.code)]
        self.problem = replace(problem, status=status) if status else problem
        self.headers = dict(headers or {})
        self.members = members

    @classmethod
    def at_location(cls, where: str, place: str, detail: str, code: str | None = None) -> Self:
        """Return a refusal with one entry; `where` is pointer, parameter or header."""
        return cls(detail, [{where: place, "code": code or cls.code, "detail": detail}])


class BadRequest(ApiError):
    """Syntax that cannot be read: 400."""

    code = "malformed-request"


class Unauthorized(ApiError):
    """Nobody that is known, where somebody is needed: 401."""

    code = "unauthorized"


class Forbidden(ApiError):
    """Somebody who may not: 403."""

    code = "forbidden"

    @classmethod
    def missing_permission(cls, permission: str) -> Self:
        detail = f"This needs the permission {permission}."
        return cls(detail, [{"code": "forbidden", "detail": detail, "permission": permission}])


class NotFound(ApiError):
    code = "not-found"


class NotAcceptable(ApiError):
    code = "not-acceptable"


class Conflict(ApiError):
    """A valid request that stored rows stand in the way of: 409."""

    code = "conflict"


class PreconditionFailed(ApiError):
    code = "precondition-failed"


class ContentTooLarge(ApiError):
    code = "content-too-large"


class UnsupportedMediaType(ApiError):
    code = "unsupported-media-type"


class UnprocessableContent(ApiError):
    """A well-formed request that breaks rules: 422; `entries` name every one of them."""

    code = "invalid"

    @classmethod
    def from_errors(cls, entries: Sequence[ErrorDetail]) -> Self:
        if len(entries) == 1:
            return cls(entries[0]["detail"], entries)
        return cls(f"{len(entries)} values of the request are not as they must be.", entries)


class PreconditionRequired(ApiError):
    code = "precondition-required"


class ServiceUnavailable(ApiError):
    """The service cannot answer now; the same request may succeed soon: 503."""

    code = "unavailable"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class RetryRequest(ServiceUnavailable):
    """What the request has read is no longer so; begun anew, it finds what is."""
