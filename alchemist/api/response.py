"""The response to a successful request."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flask import Response
from werkzeug.datastructures import Headers

from .request import JSON

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class JsonResponse(Response):
    """A response with a JSON text. Its headers must be complete, and in ASCII."""

    def __init__(
        self, body: str | bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        # Without a type, werkzeug would raise and catch an exception to look for it.
        super().__init__(body, status, headers, content_type=JSON)

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        """Return the headers as they are; werkzeug would copy, complete and encode them."""
        return self.headers
