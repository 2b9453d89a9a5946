"""The headers that tell a browser what it may do with an answer."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask_cors import CORS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# What a script of another origin may read beside the body.
CORS_EXPOSED_HEADERS = (
    "Deprecation",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "X-Request-ID",
    "X-Total-Count",
)


class SecurityHeadersMiddleware:
    """Fills in what an answer leaves open, where its headers are a plain list already.

    In Flask's own collection of headers the same costs ten times as much.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self.app = app

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            given = dict(headers)
            missing = [pair for pair in HEADERS.items() if pair[0] not in given]
            vary = [value for name, value in headers if name == "Vary"]
            others = [pair for pair in headers if pair[0] != "Vary"]
            varied = ("Vary", ", ".join([*vary, "Authorization"]))
            return start_response(status, [*others, *missing, varied], *error)

        return self.app(environ, start)


def init_app(app: Flask, cors_origins: tuple[str, ...]) -> None:
    # Flask types this attribute as a method of the class.
    app.wsgi_app = SecurityHeadersMiddleware(app.wsgi_app)  # type: ignore[method-assign]
    if cors_origins:
        CORS(
            app,
            origins=list(cors_origins),
            expose_headers=CORS_EXPOSED_HEADERS,
            max_age=600,
            always_send=False,
        )
