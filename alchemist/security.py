"""The headers that tell a browser what it may do with an answer."""

from flask import Flask, Response
from flask_cors import CORS

HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# What a script of another origin may read beside the body.
EXPOSED = (
    "Deprecation",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "X-Request-ID",
    "X-Total-Count",
)


def init_app(app: Flask, cors_origins: tuple[str, ...]) -> None:
    app.after_request(_secure)
    if cors_origins:
        CORS(
            app,
            origins=list(cors_origins),
            expose_headers=EXPOSED,
            max_age=600,
            always_send=False,
        )


def _secure(response: Response) -> Response:
    """Fill in what the view has left open."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.vary.add("Authorization")
    return response
