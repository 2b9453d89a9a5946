"""Hostile bytes on a socket: requests that end elsewhere for somebody else, or never."""

import re
import socket
import struct
from contextlib import closing, suppress
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from itertools import pairwise
from operator import contains
from random import Random
from time import sleep
from typing import Any

from tests.hostile.exchange import Answer, Request, quoted
from tests.hostile.invariants import violations
from tests.hostile.shapes import HOST, LIST, Expected

TIMEOUT = 5  # seconds
LONG = b"GET " + LIST + b"?limit=200 HTTP/1.1\r\n" + HOST + b"\r\n"
# What a mutation puts in: all that ends something, begins something, or says how long it is.
WORDS = (
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\x00", b"\xff", b"\x80", b" ", b"\t", b":", b";", b","),
    *(
        b"%",
        b"%00",
        b"%2f",
        b"/",
        b"?",
        b"&",
        b"=",
        b"#",
        b"..",
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
    ),
    *(b"0", b"9", b"-", b"1e400", rb"\ud800", rb"\u0000", b"*", b"W/", b"HTTP/1.0", b"HTTP/1.1"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
    *(
        b"Expect: 100-continue\r\n",
        b"Host: a\r\n",
        b"Content-Encoding: gzip\r\n",
        b"X" * 9000,
    ),
)


def signed(raw: bytes, token: str) -> bytes:
    """Return the bytes with a token in the first request, so that more than its head is read."""
    return raw.replace(HOST, HOST + f"Authorization: Bearer {token}\r\n".encode(), 1)


def pieces(raw: bytes, chance: Random) -> list[bytes]:
    """Return the bytes in a few pieces, cut anywhere."""
    cuts = sorted(chance.randrange(len(raw) + 1) for _ in range(20))
    return [raw[begin:end] for begin, end in pairwise([0, *cuts, len(raw)])]


def mutated(raw: bytes, chance: Random) -> bytes:
    """Return the bytes with a few slices gone, doubled, or replaced by what has a meaning."""
    for _ in range(chance.randint(1, 4)):
        begin = chance.randrange(len(raw) + 1)
        end = min(len(raw), begin + chance.choice((0, 1, 2, 8, 40)))
        instead = chance.choice((b"", raw[begin:end] * 2, *WORDS))
        raw = raw[:begin] + instead + raw[end:]
    return raw


def probe(port: int, parts: list[bytes], expected: Expected | None = None) -> list[str]:
    """Send the parts, half-close, and return what is wrong with what comes back.

    Without what is `expected` there may be any number of answers, of any status without fault.
    """
    raw = b"".join(parts)
    received, complaint = _exchanged(port, parts)
    return [complaint] if complaint else judge(raw, received, expected)


def judge(raw: bytes, received: bytes, expected: Expected | None) -> list[str]:
    """Return what is wrong with the bytes that came back, an answer for each of `expected`."""
    answers, rest = _taken_apart(received, is_head=raw.startswith(b"HEAD "))
    found = [f"What comes back is no answer: {rest[:80]!r}."] if rest else []
    statuses = [answer.status for answer in answers] or [0]
    if expected is not None and not _fit(statuses, expected):
        found.append(f"The answers are {statuses}, and not {expected}.")
    for number, answer in enumerate(answers):
        method = "HEAD" if raw.startswith(b"HEAD ") and number == 0 else "GET"
        headers = (("Raw", raw.decode("latin-1")),)
        found += violations(Request(method, _target(raw), headers), answer)
    return found


def _target(raw: bytes) -> str:
    """Return the first path of the API in the bytes, without the host of an absolute target."""
    found = re.search(rb"/api/v[12]\S*", raw)
    return found[0].decode("latin-1") if found else "/"


def vanish(port: int, chance: Random) -> None:
    """Ask twice, and reset the connection while the first answer is made or on its way."""
    with closing(socket.create_connection(("127.0.0.1", port), TIMEOUT)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(LONG)
        # The moment is what is tried here, and nothing is waited for.
        sleep(chance.uniform(0, 0.006))
        with suppress(OSError):
            connection.sendall(LONG)


def _fit(statuses: list[int], expected: Expected) -> bool:
    return len(statuses) == len(expected) and all(map(contains, expected, statuses))


def _exchanged(port: int, parts: list[bytes]) -> tuple[bytes, str]:
    """Return all that the server sends until it closes, and a complaint if it does not."""
    received = b""
    with closing(socket.create_connection(("127.0.0.1", port), TIMEOUT)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A server that has refused need not read the rest.
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        try:
            while part := connection.recv(65536):
                received += part
        except TimeoutError:
            return received, f"The connection is still open after {TIMEOUT} s."
        except ConnectionResetError:
            return received, "" if received else "The connection is reset without an answer."
    return received, ""


class _Stream(BytesIO):
    """What an HTTPResponse may read from, and not close."""

    def makefile(self, *_: Any, **__: Any) -> "_Stream":
        return self

    def close(self) -> None:
        pass


def _taken_apart(received: bytes, *, is_head: bool) -> tuple[list[Answer], bytes]:
    """Return the final answers, one behind the other, and what is left that is none."""
    stream = _Stream(received)
    answers: list[Answer] = []
    while stream.tell() < len(received):
        begin = stream.tell()
        # A stream does for a socket here.
        response = HTTPResponse(stream, method="HEAD" if is_head and not answers else "GET")  # type: ignore[arg-type]
        try:
            response.begin()
            body = response.read()
        except HTTPException:
            return answers, received[begin:]
        answers.append(Answer(response.status, response.headers, body))  # type: ignore[arg-type]
    return answers, b""


def reproduction(raw: bytes) -> str:
    """Return a command line for bash that sends the same."""
    return f"printf %s {quoted(raw)} | nc -N 127.0.0.1 8000"
