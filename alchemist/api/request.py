"""The request as the house reads it: an identity, a URL that is UTF-8, a body that is whole."""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast
from urllib.parse import parse_qsl, unquote_to_bytes
from uuid import UUID

import flask
from gunicorn.http.errors import ParseException
from uuid_utils import uuid4
from uuid_utils.compat import uuid7
from werkzeug.utils import cached_property

from alchemist import errors
from alchemist.errors import ErrorDetail

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
# Bytes.
MAX_BODY = 1024 * 1024
MAX_DRAINED = MAX_BODY + 64 * 1024
MAX_PARAMETERS = 100
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# A name or an address, and perhaps a port (RFC 9110 §7.2, RFC 3986 §3.2.2).
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")
# A target with its scheme; what stands before an @ is no host.
ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?([^/?#]*)")
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Request(flask.Request):
    # Who asks, as `authorize` found; its text tells one caller from another.
    caller: Any
    # The representation of the row that this request changes, as it is stored.
    current_representation: dict[str, Any] | None = None
    # Why it is not granted.
    error: errors.ApiError | None = None
    # The JSON value of its body, as soon as that was read.
    json_body: Any = None
    # What its body says of other rows, and is not so.
    reference_errors: Sequence[ErrorDetail] = ()
    # Whether it was begun before, and whether the rows that it refers to were not looked up.
    is_retry = False
    references_unchecked = False

    @cached_property
    def id(self) -> str:
        """The caller's X-Request-ID if it is a plain word, else a new one."""
        given = self.headers.get("X-Request-ID", "")
        return given if REQUEST_ID.fullmatch(given) else uuid4().hex

    @cached_property
    def new_pk(self) -> UUID:
        """The key of the row that this request makes, the same however often it is begun anew."""
        return uuid7()

    @cached_property
    def validation_errors(self) -> list[ErrorDetail]:
        """What is wrong with this request so far; `settle` refuses it for all of them at once."""
        return []

    def raise_for_errors(self) -> None:
        if found := [*self.validation_errors, *self.reference_errors]:
            raise errors.UnprocessableContent.from_errors(found)

    def check_host(self) -> None:
        """Refuse HTTP/1.1 that does not say for whom it is (RFC 9112 §3.2), or not clearly."""
        host = self.environ.get("HTTP_HOST")
        if host is None and self.environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
            return
        if host is None or not HOST.fullmatch(host):
            detail = "Send one Host: a name or an address, and perhaps a port."
            raise errors.BadRequest.at_location("header", "Host", detail)

    @property
    def authority(self) -> str:
        """For whom it is: the host of an absolute target (RFC 9112 §3.2.2), else Host."""
        absolute = ABSOLUTE.match(self.raw_target)
        return absolute[1] if absolute else self.host

    @property
    def raw_target(self) -> str:
        """What stands in the request line, as it was sent."""
        uri: str = self.environ.get("RAW_URI") or self.environ.get("REQUEST_URI") or ""
        return uri

    def check_url(self) -> None:
        """Refuse a URL that is not UTF-8: WSGI would replace what it cannot decode in silence."""
        uri = self.raw_target
        if "%" not in uri and uri.isascii():
            return
        try:
            unquote_to_bytes(uri.encode("latin-1")).decode()
            self.query_string.decode()
        except UnicodeError as error:
            raise errors.BadRequest("The URL is not percent-encoded UTF-8.") from error
        if BAD_ESCAPE.search(uri):
            raise errors.BadRequest("The URL holds a % that is not followed by two hex digits.")

    def parameters(self) -> dict[str, str]:
        """Return the query's parameters; a repeated one is a complaint."""
        query = self.query_string.decode()
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
        except ValueError as error:
            raise errors.BadRequest("The query has too many parameters.") from error
        found = dict(reversed(pairs))
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            for name in sorted({name for name in names if names.count(name) > 1}):
                self.validation_errors.append(repeated_parameter(name))
        return found

    def reject_query_parameters(self) -> None:
        """Complain about every parameter of an operation that takes none."""
        for name in self.parameters():
            self.validation_errors.append(unknown_parameter(name))

    @cached_property
    def body(self) -> bytes:
        """The body, as many bytes as were announced; raise TooLarge beyond 1 MiB."""
        length = self.content_length or 0
        found = self._read(MAX_BODY + 1) if length <= MAX_BODY else b""
        if max(len(found), length) > MAX_BODY:
            raise errors.ContentTooLarge("The body exceeds 1 MiB.")
        if len(found) < length:
            raise errors.BadRequest("The body ended before its Content-Length.")
        return found

    def drain(self) -> None:
        """Read what a refusal has left of the body, as far as a body may go.

        Where a connection is closed while the body is on its way, the client, or the proxy before
        it, sees a broken connection and not the refusal.
        """
        if "body" not in self.__dict__:
            with suppress(errors.BadRequest):
                self._read(MAX_DRAINED)

    def _read(self, most: int) -> bytes:
        length = self.content_length
        is_chunked = "HTTP_TRANSFER_ENCODING" in self.environ
        if length is None and not (is_chunked and self.environ.get("wsgi.input_terminated")):
            return b""
        # No more than was announced: some servers wait for bytes that do not come.
        stream: Any = self.environ["wsgi.input"]
        try:
            found: bytes = stream.read(most if length is None else min(length, most))
        except (OSError, ParseException) as error:
            raise errors.BadRequest("The body broke off, or its chunks are malformed.") from error
        return found


request = cast(Request, flask.request)


def unknown_parameter(name: str) -> ErrorDetail:
    return {"parameter": name, "code": "unknown-parameter", "detail": "Unknown parameter."}


def repeated_parameter(name: str) -> ErrorDetail:
    return {"parameter": name, "code": "repeated-parameter", "detail": "Given more than once."}
