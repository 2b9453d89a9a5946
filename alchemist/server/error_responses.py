"""Problem responses of the server itself, for requests that do not reach the app."""

import json
from http import HTTPStatus
from socket import socket
from uuid import uuid4

import gunicorn.util

from alchemist import errors
from alchemist.api import access_log
from alchemist.api.security_headers import HEADERS

OVERLOADED = "The service is overloaded."


def response(
    status: int, detail: str = "", *, keep_alive: bool = False, include_body: bool = True
) -> bytes:
    """Log and return an HTTP/1.1 response; the default detail is the documented example."""
    problem = errors.PROBLEM_TYPES[errors.code_for_status(status)]
    request_id = uuid4().hex
    access_log.log_request(problem.status, request_id=request_id, code=problem.code)
    body = json.dumps(
        errors.problem_details(problem, detail or problem.example, request_id)
    ).encode()
    headers = {
        "Connection": "keep-alive" if keep_alive else "close",
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "X-Request-ID": request_id,
        **HEADERS,
    }
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {problem.status} {problem.title}", *lines, "", ""])
    return head.encode("ascii") + (body if include_body else b"")


def write_error(sock: socket, status_int: int, reason: str, mesg: str) -> None:
    """Send a problem, in place of gunicorn's HTML, for a request that gunicorn cannot parse."""
    gunicorn.util.write_nonblock(sock, response(status_int, mesg))
