"""Reports of errors that a real service sends to a real receiver (Sentry's envelopes)."""

import gzip
import json

import pytest
from sqlalchemy import NullPool, create_engine, text

import alchemist
from alchemist.database import PROJECT_ROOT
from tests.server.telemetry.receivers import receiving
from tests.servers import Gunicorn

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}
INGREDIENTS = "/api/v2/ingredients"


def events(messages):
    """Return the events of envelopes: lines of JSON, a header, and of each item its header."""
    received = []
    for message in messages:
        assert (message.path, message.encoding) == ("/api/7/envelope/", "gzip")
        _, *lines = [json.loads(line) for line in gzip.decompress(message.body).splitlines()]
        items = zip(lines[::2], lines[1::2], strict=True)
        received += [body for header, body in items if header["type"] == "event"]
    return received


@pytest.fixture
def receiver():
    with receiving() as receiver:
        yield receiver


def reporting(receiver, **variables):
    dsn = f"http://public@127.0.0.1:{receiver.port}/7"
    return {"SENTRY_DSN": dsn, "SENTRY_ENVIRONMENT": "test", **variables}


def test_an_unexpected_error_is_reported_without_values(receiver, fresh_database, tmp_path):
    variables = reporting(receiver, ALCHEMIST_LOG_LEVEL="debug")
    with Gunicorn(fresh_database, tmp_path, **variables) as server:
        with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
            connection.execute(text("ALTER TABLE ingredients RENAME TO gone"))
        traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        headers = {"traceparent": traceparent, "Cookie": "swordfish", "User-Agent": "swordfish"}
        body = json.dumps({"name": "swordfish"})
        response = server.request("POST", f"{INGREDIENTS}?dry_run=", body, **JSON, **headers)
        assert response.status == 422
        response = server.request("POST", INGREDIENTS, body, **JSON, **headers)
        assert response.status == 500
        [event] = events(receiver.await_messages(events))
    assert len(events(receiver.messages)) == 1
    assert event["release"] == f"alchemist@{alchemist.__version__}"
    assert event["environment"] == "test"
    assert event["tags"] == {
        "request_id": response.headers["X-Request-ID"],
        "route": INGREDIENTS,
        "method": "POST",
    }
    assert event["transaction"] == f"POST {INGREDIENTS}"
    assert event["contexts"]["trace"]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    exceptions = event["exception"]["values"]
    assert [exception["type"] for exception in exceptions][-1] == "ProgrammingError"
    frames = exceptions[-1]["stacktrace"]["frames"]
    assert {"alchemist/api/resource.py"} <= {frame["filename"] for frame in frames}
    assert all(exception["value"] == "" for exception in exceptions)
    assert not any("vars" in frame for frame in frames)
    text_of_event = json.dumps(event)
    assert "swordfish" not in text_of_event
    assert "127.0.0.1" not in text_of_event
    assert not {"request", "user", "extra", "breadcrumbs", "logentry"} & event.keys()


def test_an_error_that_is_answered_is_not_reported(receiver, fresh_database, tmp_path):
    gone = fresh_database.set(port=1, host="127.0.0.1", query={})
    with Gunicorn(gone, tmp_path, **reporting(receiver)) as server:
        assert server.request("GET", INGREDIENTS).status == 503
        assert server.request("GET", "/nowhere").status == 404
    assert events(receiver.messages) == []


def test_a_receiver_that_is_unreachable_fails_no_request(fresh_database, tmp_path):
    variables = {"SENTRY_DSN": "http://public@127.0.0.1:1/7"}
    with Gunicorn(fresh_database, tmp_path, **variables) as server:
        with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
            connection.execute(text("ALTER TABLE ingredients RENAME TO gone"))
        assert server.request("GET", INGREDIENTS).status == 500
        assert server.request("GET", "/livez").status == 200
    assert server.process.returncode == 0
    assert str(PROJECT_ROOT) in server.log.read_text()
