"""Ways to send a request: into the application as gunicorn would, and over a real connection."""

import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from email.message import Message
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from itertools import count
from time import monotonic
from urllib.parse import unquote_to_bytes

from flask import Flask
from werkzeug.test import run_wsgi_app

from tests.hostile.exchange import Answer, Request

Send = Callable[[Request], Answer]
TIMEOUT = 5  # seconds
# Seconds. A server closes a connection that is idle for longer, just when a request is sent, say.
IDLE = 2


def environ(request: Request) -> dict[str, object]:
    """Return what gunicorn hands over: text in Latin-1, headers that stand twice joined.

    One with an underscore could pass for another, and is left out.
    """
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
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        before = f"{found[key]}," if key in seen else ""
        found[key] = before + value.strip(" \t")
        seen.add(key)
    return found


def _signed(request: Request, **headers: str) -> Request:
    """Return the request with those of the headers that it has none of."""
    given = {name.lower() for name, _ in request.headers}
    more = [(name, value) for name, value in headers.items() if name.lower() not in given]
    return replace(request, headers=(*request.headers, *more))


def into(app: Flask, authorization: str) -> Send:
    """Return what hands requests to the application itself."""

    def send(request: Request) -> Answer:
        signed = _signed(request, Authorization=authorization)
        chunks, status, headers = run_wsgi_app(app, environ(signed), buffered=True)
        told = Message()
        for name, value in headers:
            told[name] = value
        return Answer(int(status.split()[0]), told, b"".join(chunks))  # type: ignore[arg-type]

    return send


class Connection:
    """One kept-alive connection, opened again whenever the server has closed it.

    Every request carries an X-Request-ID of its own, which the answer has as X-Client-Request-ID:
    one that belongs to another request, or to none, is told at once.
    """

    def __init__(self, port: int, authorization: str) -> None:
        self.address = ("127.0.0.1", port)
        self.authorization = authorization
        self.socket: socket.socket | None = None
        self.last_use = monotonic()
        self.numbers = count(1)
        self.statuses: Counter[int] = Counter()

    def send(self, request: Request) -> Answer:
        number = f"hostile-{next(self.numbers)}"
        ours = {"X-Request-ID": number, "Authorization": self.authorization}
        signed = _signed(request, **ours)
        try:
            response, body = self._exchange(bytes(signed), request.method)
        except TimeoutError:
            return self._broken(f"There is no answer within {TIMEOUT} s.")
        except (OSError, HTTPException) as error:
            return self._broken(f"The connection ends without an answer: {error!r}.")
        told = response.headers.get("X-Client-Request-ID")
        # What refuses a request that it cannot read knows nothing of its id, and closes.
        is_ours = (
            told == number or self.socket is None or ("X-Request-ID", number) not in signed.headers
        )
        self.statuses[response.status] += 1
        complaints = [] if is_ours else [f"The answer is that of {told}, not of {number}."]
        return Answer(response.status, response.headers, body, complaints)  # type: ignore[arg-type]

    def _broken(self, complaint: str) -> Answer:
        self.close()
        return Answer(0, {}, b"", [complaint])

    def _exchange(self, raw: bytes, method: str) -> tuple[HTTPResponse, bytes]:
        if monotonic() > self.last_use + IDLE:
            self.close()
        if self.socket is None:
            self.socket = socket.create_connection(self.address, TIMEOUT)
        # A server may refuse before it has read everything, and close.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(raw)
        response = HTTPResponse(self.socket, method=method)
        response.begin()
        body = response.read()
        response.close()
        self.last_use = monotonic()
        if response.will_close:
            self.close()
        return response, body

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None
