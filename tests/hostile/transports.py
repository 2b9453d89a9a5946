"""Ways to send a request: into the application as gunicorn would, and over a real connection."""

import socket
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from itertools import count
from urllib.parse import unquote_to_bytes

from flask import Flask
from werkzeug.test import run_wsgi_app

from .exchange import Answer, Request

Send = Callable[[Request], Answer]
PATIENCE = 5  # seconds


def environ(request: Request) -> dict[str, object]:
    """Return what gunicorn hands over: text in Latin-1, headers that stand twice joined."""
    path, _, query = request.target.partition("#")[0].partition("?")
    found: dict[str, object] = {
        "REQUEST_METHOD": request.method,
        "RAW_URI": request.target,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(request.body),
        "wsgi.errors": BytesIO(),
        "wsgi.input_terminated": True,
    }
    if request.body:
        found["CONTENT_LENGTH"] = str(len(request.body))
    seen: set[str] = set()
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        before = f"{found[key]}," if key in seen else ""
        found[key] = before + value.strip(" \t")
        seen.add(key)
    return found


def into(app: Flask) -> Send:
    """Return what hands requests to the application itself."""

    def send(request: Request) -> Answer:
        chunks, status, headers = run_wsgi_app(app, environ(request), buffered=True)
        told = Message()
        for name, value in headers:
            told[name] = value
        return Answer(int(status.split()[0]), told, b"".join(chunks))  # type: ignore[arg-type]

    return send


class Connection:
    """One kept-alive connection, opened again whenever the server has closed it.

    Every request carries an X-Request-ID of its own, and so does every answer: one that belongs to
    another request, or to none, is told at once.
    """

    def __init__(self, port: int, token: str) -> None:
        self.address = ("127.0.0.1", port)
        self.token = token
        self.socket: socket.socket | None = None
        self.numbers = count(1)

    def send(self, request: Request) -> Answer:
        given = {name.lower() for name, _ in request.headers}
        headers = list(request.headers)
        number = f"hostile-{next(self.numbers)}"
        if "x-request-id" not in given:
            headers.append(("X-Request-ID", number))
        if "authorization" not in given:
            headers.append(("Authorization", f"Bearer {self.token}"))
        raw = bytes(request.but("", headers=tuple(headers)))
        try:
            response, body, closed = self._exchange(raw, request.method)
        except TimeoutError:
            self.close()
            return Answer(0, {}, b"", [f"There is no answer within {PATIENCE} s."])
        except (OSError, HTTPException) as error:
            self.close()
            return Answer(0, {}, b"", [f"The connection ends without an answer: {error!r}."])
        complaints = []
        told = response.headers.get("X-Request-ID")
        # What refuses a request that it cannot read knows nothing of its id.
        if "x-request-id" not in given and told != number and not closed:
            complaints.append(f"The answer is that of {told}, not of {number}.")
        return Answer(response.status, response.headers, body, complaints)  # type: ignore[arg-type]

    def _exchange(self, raw: bytes, method: str) -> tuple[HTTPResponse, bytes, bool]:
        if self.socket is None:
            self.socket = socket.create_connection(self.address, PATIENCE)
        # A server may refuse before it has read everything, and close.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(raw)
        response = HTTPResponse(self.socket, method=method)
        response.begin()
        body = response.read()
        closed = response.will_close
        response.close()
        if closed:
            self.close()
        return response, body, closed

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None
