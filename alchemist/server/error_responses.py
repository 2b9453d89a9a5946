"""Problem responses of the server itself, for requests that do not reach the app."""

import json
import re
from http import HTTPStatus
from socket import socket
from uuid import uuid4

import gunicorn.util

from alchemist import errors
from alchemist.api import access_log, trace_context
from alchemist.api.security_headers import HEADERS, cors_headers, vary_by
from alchemist.api.trace_context import TraceContext

OVERLOADED = "The service is overloaded."
ORIGIN_PATTERN = re.compile(rb"\norigin:[ \t]*([!-~]*)[ \t]*\r", re.IGNORECASE)
TRACEPARENT_PATTERN = re.compile(rb"\ntraceparent:[ \t]*([!-~]*)[ \t]*\r", re.IGNORECASE)
# gunicorn.conf.py sets the configured ones.
cors_origins: tuple[str, ...] = ()


def logged_response_bytes(
    status: int,
    detail: str = "",
    *,
    request_head: bytes = b"",
    keep_alive: int = 0,
    include_body: bool = True,
) -> bytes:
    """Log and return an HTTP/1.1 response; the default detail is the documented example.

    `request_head` is what has arrived of the request, perhaps malformed: scripts of the allowed
    origins may read the response. `keep_alive` are the seconds for the next request, 0 to close.
    """
    problem = errors.PROBLEM_TYPES[errors.code_for_status(status)]
    request_id = uuid4().hex
    trace = _trace_context(request_head, request_id)
    ids = trace_context.log_fields(trace, request_id)
    access_log.log_request(problem.status, **ids, code=problem.code)
    body = json.dumps(
        errors.problem_details(problem, detail or problem.example, request_id)
    ).encode()
    headers = {
        "Connection": "keep-alive" if keep_alive else "close",
        **({"Keep-Alive": f"timeout={keep_alive}"} if keep_alive else {}),
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "X-Request-ID": request_id,
        **({"traceresponse": str(trace)} if trace else {}),
        "Vary": ", ".join(vary_by(cors_origins)),
        **HEADERS,
        **_cors_headers(request_head),
    }
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {problem.status} {problem.status_phrase}", *lines, "", ""])
    return head.encode("ascii") + (body if include_body else b"")


def _trace_context(request_head: bytes, request_id: str) -> TraceContext | None:
    header = TRACEPARENT_PATTERN.search(request_head)
    return TraceContext.from_header(header[1].decode("ascii"), request_id) if header else None


def _cors_headers(request_head: bytes) -> dict[str, str]:
    origin = ORIGIN_PATTERN.search(request_head)
    return cors_headers(origin[1].decode("ascii"), cors_origins) if origin else {}


def write_error(sock: socket, status_int: int, reason: str, mesg: str) -> None:
    """Send a problem, in place of gunicorn's HTML, for a request that gunicorn cannot parse."""
    request_head = getattr(sock, "request_head", b"")
    gunicorn.util.write_nonblock(
        sock, logged_response_bytes(status_int, mesg, request_head=request_head)
    )
