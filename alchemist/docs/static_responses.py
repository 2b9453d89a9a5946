"""Responses whose bytes do not depend on the request: they have an ETag and may be cached."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

from flask import Response, request

from alchemist.api import etags

# A client asks each time, and gets a 304 until the next release.
NO_CACHE = "no-cache"
IMMUTABLE = "public, max-age=31536000, immutable"
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
PAGE_HEADERS = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}


@dataclass(frozen=True)
class CachedResponse:
    body: bytes
    mimetype: str
    cache_control: str = NO_CACHE
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def etag(self) -> str:
        return f'"{blake2b(self.body, digest_size=12).hexdigest()}"'

    def to_response_or_304(self) -> Response:
        """Return a 200 with the body, or a 304 if the request's If-None-Match has its ETag."""
        headers = {"ETag": self.etag, "Cache-Control": self.cache_control, **self.headers}
        if_none_match = request.headers.get("If-None-Match")
        if if_none_match and etags.matches_weakly(if_none_match, self.etag):
            return Response(status=304, headers=headers)
        headers["X-Content-Type-Options"] = "nosniff"
        return Response(self.body, 200, headers, mimetype=self.mimetype)


def html_response(html: str, **headers: str) -> Response:
    """Return a page that may load only scripts, styles and images of this service."""
    headers = PAGE_HEADERS | headers
    return CachedResponse(html.encode(), "text/html", headers=headers).to_response_or_304()
