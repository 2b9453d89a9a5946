"""What a request that went well is answered with."""

from typing import TYPE_CHECKING

from flask import Response
from werkzeug.datastructures import Headers

from .request import JSON

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class JsonResponse(Response):
    """A JSON text, with headers that are complete and in ASCII as they are given.

    werkzeug would copy them, and correct what is neither.
    """

    default_mimetype = JSON

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        return self.headers
