"""HTTP servers that receive what the service sends about itself."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, sleep
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.servers import TIMEOUT


class Message(NamedTuple):
    """A POST request, and the media type of its body."""

    path: str
    media_type: str
    encoding: str
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Answers every POST with 200, and keeps it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.messages: list[Message] = []

    @property
    def port(self) -> int:
        return self.server_address[1]

    def await_messages(self, is_complete: Callable[[list[Message]], bool]) -> list[Message]:
        """Return all messages when there are enough of them; fail if they do not come."""
        deadline = monotonic() + TIMEOUT
        while not is_complete(messages := list(self.messages)):
            assert monotonic() < deadline, messages
            sleep(0.02)
        return messages


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        media_type = self.headers.get("Content-Type", "")
        encoding = self.headers.get("Content-Encoding", "")
        self.server.messages.append(Message(self.path, media_type, encoding, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()


class ReceivedSpan(NamedTuple):
    """A span, with its ids in hex digits and its attributes as a dictionary."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    is_server: bool
    has_error: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]


def spans(messages: list[Message]) -> list[ReceivedSpan]:
    """Return the spans of all messages, which must be OTLP in protobuf."""
    received = []
    for message in messages:
        assert (message.path, message.media_type) == ("/v1/traces", "application/x-protobuf")
        for group in ExportTraceServiceRequest.FromString(message.body).resource_spans:
            resource = _as_dict(group.resource.attributes)
            received += [
                _span(each, resource) for scope in group.scope_spans for each in scope.spans
            ]
    return received


def _span(span: Span, resource: dict[str, Any]) -> ReceivedSpan:
    # Neither may have the message of an exception, which may have values.
    assert not span.events
    assert not span.status.message
    return ReceivedSpan(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind == Span.SPAN_KIND_SERVER,
        span.status.code == 2,
        _as_dict(span.attributes),
        resource,
    )


def _as_dict(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
