"""Traces: a span for each request and statement, sent to a collector (OTLP over HTTP)."""

import atexit
import logging
from collections.abc import Iterable
from os import environ
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from flask import Flask
from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    use_span,
)

import alchemist
from alchemist.api import trace_context
from alchemist.api.log_formats import exception_type_and_message
from alchemist.api.request import Request
from alchemist.api.trace_context import TraceContext
from alchemist.database import Engines, statement_spans

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Seconds that a worker waits at its end for the collector to accept the last spans.
FLUSH_TIMEOUT = 3
# Seconds in which the same failure of the export is logged once.
REPEAT_INTERVAL = 600
# Characters of a header with the context of a trace. The time to parse some of them is quadratic.
MAX_HEADER_LENGTH = 512
METHODS = {
    *("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"),
}
EXPORT_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
)


def check_environment() -> None:
    """Raise ValueError for an exporter or a protocol that is not supported."""
    supported = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    }
    for name, value in supported.items():
        if environ.get(name, value) not in (value, ""):
            raise ValueError(f"{name} can only be {value}.")


check_environment()


def init_app(app: Flask) -> None:
    """Trace the requests of the app and the statements of its engines."""
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    atexit.register(_shut_down_with_timeout, provider)
    _silence_export_logs()
    tracer = provider.get_tracer("alchemist", alchemist.__version__)
    engines: Engines = app.extensions["engines"]
    for engine in engines.by_name().values():
        statement_spans.trace_statements(engine, tracer)
    # Flask types this attribute as a method of the class.
    app.wsgi_app = TracingMiddleware(app.wsgi_app, tracer)  # type: ignore[method-assign]


def _silence_export_logs() -> None:
    """Log failures of the export once in a while, and no warnings about headers.

    The latter contain what clients send. Call this after the warnings about the environment.
    """
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    for name in EXPORT_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(name).addFilter(RepeatFilter())


def _resource() -> Resource:
    """Return the name and version of the service, unless the environment names others."""
    defaults = {"service.name": "alchemist", "service.version": alchemist.__version__}
    return Resource.create().merge(Resource(defaults)).merge(OTELResourceDetector().detect())


def _shut_down_with_timeout(provider: TracerProvider) -> None:
    """Send the remaining spans, but do not wait for a collector that does not respond."""
    thread = Thread(target=provider.shutdown, daemon=True)
    thread.start()
    thread.join(FLUSH_TIMEOUT)


class RepeatFilter(logging.Filter):
    """Drops messages that were logged a short time ago, whatever their arguments are."""

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message, now = str(record.msg), monotonic()
        is_new = now - self._logged_at.get(message, -REPEAT_INTERVAL) >= REPEAT_INTERVAL
        if is_new:
            self._logged_at[message] = now
        return is_new


class EnvironGetter(Getter["WSGIEnvironment"]):
    """Reads headers from a WSGI environment, unless they are too long."""

    def get(self, carrier: "WSGIEnvironment", key: str) -> list[str] | None:
        value = carrier.get(f"HTTP_{key.upper().replace('-', '_')}")
        return None if value is None or len(value) > MAX_HEADER_LENGTH else [value]

    def keys(self, carrier: "WSGIEnvironment") -> list[str]:
        return [name[5:].replace("_", "-").lower() for name in carrier if name.startswith("HTTP_")]


class TracingMiddleware:
    """WSGI middleware with a span for each request (semantic conventions for HTTP servers)."""

    def __init__(self, app: "WSGIApplication", tracer: Tracer) -> None:
        self.app, self.tracer, self.getter = app, tracer, EnvironGetter()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        span = self.tracer.start_span(
            method if method in METHODS else "HTTP",
            propagate.extract(environ, getter=self.getter),
            SpanKind.SERVER,
            {
                "http.request.method": method if method in METHODS else "_OTHER",
                "url.scheme": environ["wsgi.url_scheme"],
            },
        )
        environ[trace_context.ENVIRON_KEY] = _trace_context(span)

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            if span.is_recording():
                _set_span_attributes(span, environ["werkzeug.request"], int(status[:3]))
            return start_response(status, headers, *exc_info)

        with use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            return self.app(environ, start)


def _trace_context(span: Span) -> TraceContext:
    context = span.get_span_context()
    return TraceContext(
        format_trace_id(context.trace_id),
        format_span_id(context.span_id),
        f"{context.trace_flags:02x}",
    )


def _set_span_attributes(span: Span, request: Request, status: int) -> None:
    """Add what is known at the end of a request: neither its path nor its query, as in the log."""
    span.set_attribute("http.response.status_code", status)
    span.set_attribute("http.response.header.x-request-id", [request.id])
    if request.url_rule:
        span.set_attribute("http.route", request.url_rule.rule)
        span.update_name(f"{request.method} {request.url_rule.rule}")
    if status >= 500:
        error = request.error
        cause = (error.__cause__ or error) if error else None
        name = exception_type_and_message(cause)["exception"] if cause else str(status)
        span.set_attribute("error.type", name)
        span.set_status(Status(StatusCode.ERROR))
