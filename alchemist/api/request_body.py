"""The whole body of a request, up to 1 MiB."""

from contextlib import suppress
from typing import Any

import flask
from gunicorn.http.errors import ParseException
from werkzeug.utils import cached_property

from alchemist import errors

# Both in bytes.
MAX_BODY = 1024 * 1024
MAX_DRAINED = MAX_BODY + 64 * 1024


class BodyMixin(flask.Request):
    """Reads the body once, and rejects one that is too large or not complete."""

    @cached_property
    def body(self) -> bytes:
        """The whole body.

        Raise ContentTooLarge beyond 1 MiB, and BadRequest if it is shorter than its Content-Length.
        """
        length = self.content_length or 0
        body = self._read_body(MAX_BODY + 1) if length <= MAX_BODY else b""
        if max(len(body), length) > MAX_BODY:
            raise errors.ContentTooLarge("The body exceeds 1 MiB.")
        if len(body) < length:
            raise errors.BadRequest("The body ended before its Content-Length.")
        return body

    def drain_body(self) -> None:
        """Read the rest of the body, up to the largest size that is allowed.

        If the connection were closed while the client is still sending, the client, or the proxy in
        front, would see a broken connection instead of the response.
        """
        if "body" not in self.__dict__:
            with suppress(errors.BadRequest):
                self._read_body(MAX_DRAINED)

    def _read_body(self, limit: int) -> bytes:
        length = self.content_length
        is_chunked = "HTTP_TRANSFER_ENCODING" in self.environ
        if length is None and not (is_chunked and self.environ.get("wsgi.input_terminated")):
            return b""
        # Not more than Content-Length: some servers would wait for further bytes.
        stream: Any = self.environ["wsgi.input"]
        try:
            body: bytes = stream.read(limit if length is None else min(length, limit))
        except (OSError, ParseException) as error:
            detail = "The body ended early, or its chunks are malformed."
            raise errors.BadRequest(detail) from error
        return body
