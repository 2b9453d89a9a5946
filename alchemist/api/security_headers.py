"""Response headers that restrict what a browser does with a response, and CORS."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask_cors import CORS

from . import rate_limits

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# The response headers that scripts of other origins may read.
CORS_EXPOSED_HEADERS = (
    "Alchemist-Position",
    "Deprecation",
    "Dry-Run",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Sunset",
    "X-Client-Request-ID",
    "X-Request-ID",
    "X-Total-Count",
    "X-Total-Count-Exceeded",
    "traceresponse",
)


def vary_by(cors_origins: Collection[str]) -> tuple[str, ...]:
    """Return the request headers that every response depends on (RFC 9110 §12.5.5).

    A cache must not answer one origin with the CORS headers of another.
    """
    return ("Origin", "Authorization") if cors_origins else ("Authorization",)


def cors_headers(origin: str, cors_origins: Collection[str]) -> dict[str, str]:
    """Return the headers with which scripts of `origin` may read a response, if it is allowed."""
    if origin.lower() not in {allowed.lower() for allowed in cors_origins}:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": ", ".join(CORS_EXPOSED_HEADERS),
    }


class SecurityHeadersMiddleware:
    """WSGI middleware that adds these and the RateLimit headers, if a response does not set them.

    Here the headers are a plain list. In werkzeug's `Headers`, the same takes ten times as long.
    """

    def __init__(self, app: "WSGIApplication", vary: tuple[str, ...]) -> None:
        self.app, self.vary = app, vary

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            names = {name for name, _ in headers}
            missing = [(name, value) for name, value in HEADERS.items() if name not in names]
            vary = [value for name, value in headers if name == "Vary"]
            fields = [field for value in vary for field in value.split(", ")]
            others = [(name, value) for name, value in headers if name != "Vary"]
            merged_vary = ("Vary", ", ".join(dict.fromkeys([*fields, *self.vary])))
            limits = rate_limits.rate_limit_headers(environ)
            return start_response(status, [*others, *missing, *limits, merged_vary], *exc_info)

        return self.app(environ, start)


def init_app(app: Flask, cors_origins: tuple[str, ...]) -> None:
    """Add the headers to every response, and CORS headers for the configured origins."""
    middleware = SecurityHeadersMiddleware(app.wsgi_app, vary_by(cors_origins))
    # Flask types this attribute as a method of the class.
    app.wsgi_app = middleware  # type: ignore[method-assign]
    if cors_origins:
        CORS(
            app,
            origins=list(cors_origins),
            expose_headers=CORS_EXPOSED_HEADERS,
            max_age=600,
            always_send=False,
        )
