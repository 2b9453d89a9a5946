"""The response to a successful request."""

from typing import TYPE_CHECKING

from flask import Response
from werkzeug.datastructures import Headers

from .request import JSON

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class JsonResponse(Response):
    """A response with a JSON text. Its headers must be complete, and in ASCII."""

    default_mimetype = JSON

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        """Return the headers as they are; werkzeug would copy, complete and encode them."""
        return self.headers
