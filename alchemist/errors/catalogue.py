"""Problem types: the codes of error responses, each described at `/problems/<code>`."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

# RFC 9110 §15.5 renamed these; Python 3.11 has the old phrases.
STATUS_PHRASES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}


def status_phrase(status: int) -> str:
    """Return the reason phrase of a status (RFC 9110 §15), the same in every version of Python."""
    return STATUS_PHRASES.get(status, HTTPStatus(status).phrase)


@dataclass(frozen=True)
class ProblemType:
    """A problem type (RFC 9457 §3.1.1): its stable code, its status, and texts for people."""

    code: str
    status: int
    description: str
    example: str

    @property
    def status_phrase(self) -> str:
        """The phrase of the status."""
        return status_phrase(self.status)


PROBLEM_TYPES: dict[str, ProblemType] = {}


def register_problem_type(code: str, status: int, description: str, example: str) -> None:
    """Add a problem type; `example` is a detail as clients get it."""
    PROBLEM_TYPES[code] = ProblemType(code, status, description, example)


def problem_details(
    problem: ProblemType, detail: str, request_id: str, **extensions: Any
) -> dict[str, Any]:
    """Return the members of a problem (RFC 9457 §3.1) and its extensions, without those of None."""
    members = {
        "type": f"/problems/{problem.code}",
        "title": problem.status_phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": detail,
        "request_id": request_id,
        **extensions,
    }
    return {name: value for name, value in members.items() if value is not None}


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
    429: "rate-limited",
    431: "headers-too-large",
    501: "not-implemented",
    503: "unavailable",
}


def code_for_status(status: int) -> str:
    """Return the problem code for an error that has only a status, as those of Flask have."""
    return CODE_BY_STATUS.get(status, "bad-request" if status < 500 else "internal")
