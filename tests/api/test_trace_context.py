"""The trace of a request: of its `traceparent`, or its own."""

import json
import logging
import re

import pytest

from alchemist.api import log_formats, trace_context
from alchemist.api.trace_context import TraceContext
from alchemist.server import error_responses

URL = "/api/v2/potions"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
REQUEST_ID = "0f8fad5bd9cb469fa16570867728950e"
ILL_FORMED = {
    "empty": "",
    "no fields": "swordfish",
    "upper case": TRACEPARENT.upper(),
    "an invalid version": f"ff{TRACEPARENT[2:]}",
    "a trace id of zeros": f"00-{'0' * 32}-{PARENT_ID}-01",
    "a span id of zeros": f"00-{TRACE_ID}-{'0' * 16}-01",
    "a short trace id": f"00-{TRACE_ID[1:]}-{PARENT_ID}-01",
    "a missing field": f"00-{TRACE_ID}-{PARENT_ID}",
    "another field in version 00": f"{TRACEPARENT}-what",
    "a dash at the end in version 00": f"{TRACEPARENT}-",
    "another field without a dash": f"01{TRACEPARENT[2:]}what",
    "two headers": f"{TRACEPARENT},{TRACEPARENT}",
    "no ASCII": f"00-{TRACE_ID}-{PARENT_ID}-0²",
}


@pytest.fixture
def request_lines(client, caplog):
    """Return a function that sends a traceparent; it returns the answer and its log line."""
    caplog.set_level(logging.INFO, "alchemist")
    lines = []

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(json.loads(log_formats.JsonFormatter().format(record)))

    handler = Handler()
    logging.getLogger("alchemist.requests").addHandler(handler)

    def send(traceparent, path=URL):
        response = client.get(
            path, headers={} if traceparent is None else {"traceparent": traceparent}
        )
        return response, lines.pop()

    yield send
    logging.getLogger("alchemist.requests").removeHandler(handler)


@pytest.mark.parametrize("path", [URL, "/api/v1/potions", "/nowhere", "/livez"])
def test_a_log_line_and_the_answer_have_the_trace_of_the_client(request_lines, path):
    response, line = request_lines(TRACEPARENT, path)
    assert line["trace_id"] == TRACE_ID
    assert line["span_id"] == line["request_id"][:16] != PARENT_ID
    assert response.headers["traceresponse"] == f"00-{TRACE_ID}-{line['span_id']}-01"


@pytest.mark.parametrize("rest", ["", "-", "-later-fields"])
def test_later_versions_of_the_header_are_accepted(request_lines, rest):
    _, line = request_lines(f"cc{TRACEPARENT[2:]}{rest}")
    assert line["trace_id"] == TRACE_ID


@pytest.mark.parametrize("traceparent", [None, *ILL_FORMED.values()], ids=["none", *ILL_FORMED])
def test_without_a_valid_header_a_request_is_a_trace_of_its_own(request_lines, traceparent):
    response, line = request_lines(traceparent)
    assert response.status_code == 200
    assert "traceresponse" not in response.headers
    assert re.fullmatch("[0-9a-f]{32}", line["trace_id"])
    assert line["trace_id"] == line["request_id"] == response.headers["X-Request-ID"]
    assert "span_id" not in line


def test_the_trace_of_a_tracer_replaces_that_of_the_client(client):
    traced = TraceContext("1" * 32, "2" * 16, "00")
    environ = {trace_context.ENVIRON_KEY: traced, "HTTP_TRACEPARENT": TRACEPARENT}
    headers = client.get(URL, environ_overrides=environ).headers
    assert headers["traceresponse"] == f"00-{'1' * 32}-{'2' * 16}-00"


@pytest.mark.parametrize(
    ("head", "trace_id"),
    [
        (b"GET / HTTP/1.1\r\nTraceParent: %s \r\n\r\n" % TRACEPARENT.encode(), TRACE_ID),
        (b"GET / HTTP/1.1\r\ntraceparent: swordfish\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\ntraceparent: \xff\r\n\r\n", None),
        (b"", None),
    ],
)
def test_an_error_of_the_server_has_the_trace_too(caplog, head, trace_id):
    caplog.set_level(logging.INFO, "alchemist")
    response = error_responses.logged_response_bytes(503, request_head=head).decode()
    fields = caplog.records[-1].fields
    assert fields["trace_id"] == (trace_id or fields["request_id"])
    assert (f"\r\ntraceresponse: 00-{TRACE_ID}-" in response) == bool(trace_id)
