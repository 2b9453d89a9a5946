"""A request as it stands on the wire, the answer to it, and how to repeat it by hand."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """Text is Latin-1: a character is a byte. `why` says what is hostile about it."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""
    why: str = ""
    # What the answer must be: a status, a code that it or one of its entries has, `refused` (4xx),
    # or `accepted` (2xx); behind `not `, what it must not be.
    must: str = ""

    def but(self, why: str, **changes: Any) -> Self:
        return replace(self, why=why, **changes)

    def with_header(self, name: str, *values: str) -> Headers:
        """Return the headers with these values of one of them, none if there are no values."""
        others = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return (*others, *((name, value) for value in values))

    def __bytes__(self) -> bytes:
        """Return the request as HTTP/1.1; its length is told unless a header tells another."""
        given = {name.lower() for name, _ in self.headers}
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        if "host" not in given:
            lines.append("Host: localhost")
        if self.body and not given & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(self.body)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    # What the transport itself found to be wrong.
    complaints: list[str] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def curl(request: Request, origin: str = "http://127.0.0.1:8000") -> str:
    """Return a command line for bash that sends the same."""
    url = quoted((origin + request.target).encode("latin-1"))
    words = ["curl -i --path-as-is", "-X", shlex.quote(request.method), url]
    for name, value in request.headers:
        # A semicolon is how curl is told of a header without a value.
        line = f"{name}: {value}" if value else f"{name};"
        words += ["-H", quoted(line.encode("latin-1"))]
    if request.body:
        words += ["--data-binary", quoted(request.body)]
    return " ".join(words)


def quoted(raw: bytes) -> str:
    """Return bash's `$'…'` for bytes, cut where nobody would read on."""
    shown = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}"
        for byte in raw[:2000]
    )
    return f"$'{shown}'" + (f" # and {len(raw) - 2000} bytes more" if len(raw) > 2000 else "")
