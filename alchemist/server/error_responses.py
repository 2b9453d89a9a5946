"""The problems that the server answers itself, without asking the app."""

import json
from http import HTTPStatus
from socket import socket
from uuid import uuid4

import gunicorn.util

from alchemist import errors
from alchemist.api import access_log
from alchemist.api.security_headers import HEADERS

OVERLOADED = "The service is overloaded."


def response(status: int, detail: str = "", *, keeps: bool = False, has_body: bool = True) -> bytes:
    """Return an HTTP/1.1 response, and log it; without a detail it tells the documented example."""
    problem = errors.PROBLEM_TYPES[errors.code_for_status(status)]
    request_id = uuid4().hex
    access_log.log_request(problem.status, request_id=request_id, code=problem.code)
    body = json.dumps(
        errors.problem_details(problem, detail or problem.example, request_id)
    ).encode()
    fields = {
        "Connection": "keep-alive" if keeps else "close",
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "X-Request-ID": request_id,
        **HEADERS,
    }
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        fields["Retry-After"] = "1"
    lines = [f"{name}: {value}" for name, value in fields.items()]
    head = "\r\n".join([f"HTTP/1.1 {problem.status} {problem.title}", *lines, "", ""])
    return head.encode("ascii") + (body if has_body else b"")


def write_error(sock: socket, status_int: int, reason: str, mesg: str) -> None:
    """Answer a request that never becomes one for the app, in place of gunicorn's HTML."""
    gunicorn.util.write_nonblock(sock, response(status_int, mesg))
