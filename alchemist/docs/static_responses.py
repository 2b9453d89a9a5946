"""What is served as it stands: bytes with an entity tag, and pages that may only use our own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

from flask import Response, request

from alchemist.api import etags

# With the entity tag this costs one round trip, and keeps nobody on an old version.
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
PAGE = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}


@dataclass(frozen=True)
class CachedResponse:
    body: bytes
    mimetype: str
    caching: str = NO_CACHE
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def etag(self) -> str:
        return f'"{blake2b(self.body, digest_size=12).hexdigest()}"'

    def answer(self) -> Response:
        """Return the bytes, or 304 if the client of this request has them."""
        headers = {"ETag": self.etag, "Cache-Control": self.caching, **self.headers}
        known = request.headers.get("If-None-Match")
        if known and etags.matches_weakly(known, self.etag):
            return Response(status=304, headers=headers)
        sniffing = {"X-Content-Type-Options": "nosniff"}
        return Response(self.body, 200, headers | sniffing, mimetype=self.mimetype)


def page(html: str, **headers: str) -> Response:
    return CachedResponse(html.encode(), "text/html", headers={**PAGE, **headers}).answer()
