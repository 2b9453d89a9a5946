"""Traces that a real service sends to a real receiver (OTLP over HTTP)."""

import json
import re
import socket
from contextlib import contextmanager
from uuid import uuid4

import pytest
from sqlalchemy import NullPool, create_engine, text

import alchemist
from tests.server.telemetry.receivers import receiving, spans
from tests.servers import Gunicorn

pytestmark = pytest.mark.slow

PARENT_ID = "b7ad6b7169203331"
JSON = {"Content-Type": "application/json"}


def make_traceparent(*, is_sampled=True):
    return f"00-{uuid4().hex}-{PARENT_ID}-0{int(is_sampled)}"


def tracing(endpoint, **variables):
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"} | variables


@contextmanager
def traced_service(database, directory, **variables):
    """Yield a service, and a function that returns the spans of a trace when its root arrived."""
    with receiving() as receiver:
        variables = tracing(f"http://127.0.0.1:{receiver.port}", **variables)
        with Gunicorn(database, directory, **variables) as server:

            def trace_of(response):
                _, trace_id, span_id, _ = response.headers["traceresponse"].split("-")

                def has_root(messages):
                    return any(span.span_id == span_id for span in spans(messages))

                received = spans(receiver.await_messages(has_root))
                return [span for span in received if span.trace_id == trace_id]

            yield server, trace_of


@pytest.fixture(scope="module")
def service(module_database, tmp_path_factory):
    directory = tmp_path_factory.mktemp("traced")
    with traced_service(module_database, directory) as (server, trace_of):
        yield server, trace_of


def create(server, path, values, **headers):
    response = server.request("POST", f"/api/v2{path}", json.dumps(values), **JSON, **headers)
    assert response.status == 201, response.body
    return response, json.loads(response.body)["pk"]


def log_line(server, response):
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    request_id = response.headers["X-Request-ID"]
    return next(line for line in lines if line.get("request_id") == request_id)


def root_of(trace):
    [root] = [span for span in trace if span.is_server]
    return root


def statement_of(trace, summary):
    """Return the span of a statement; a first connection has others."""
    statements = [span for span in trace if span.name == summary]
    assert len(statements) == 1, [span.name for span in trace]
    return statements[0]


def test_an_order_is_a_trace_of_its_request_and_its_statements(service):
    server, trace_of = service
    _, store = create(server, "/stores", {**STORE, "name": "Swordfish"})
    product = {"store_id": store, "name": "Swordfish", "price": "3.35", "stock": 9}
    _, product = create(server, "/products", product)
    order = {"items": [{"product_id": product, "quantity": 3}]}
    traceparent = make_traceparent()
    response, _ = create(server, "/orders", order, traceparent=traceparent)
    trace = trace_of(response)
    root, line = root_of(trace), log_line(server, response)
    statements = [span for span in trace if span is not root]

    assert f"00-{root.trace_id}-{root.parent_id}-01" == traceparent
    assert (line["trace_id"], line["span_id"]) == (root.trace_id, root.span_id)
    assert root.name == "POST /api/v2/orders"
    assert root.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/v2/orders",
        "http.response.status_code": 201,
        "http.response.header.x-request-id": [response.headers["X-Request-ID"]],
        "url.scheme": "http",
    }
    assert not any(span.has_error for span in trace)
    assert {span.parent_id for span in statements} == {root.span_id}
    assert len(statements) == line["statements"]
    names = [span.name for span in statements]
    assert "UPDATE products" in names
    # One statement inserts the order with its items.
    assert any({"INSERT orders", "INSERT order_items"} <= operations_of(name) for name in names)


def operations_of(name):
    """Return the operations of a name such as `INSERT orders INSERT order_items`."""
    return set(re.findall(r"[A-Z]+ [a-z_]+", name))


STORE = {"currency": "EUR", "street": "s", "zipcode": "z", "city": "c", "country": "c"}


def test_a_statement_has_its_text_without_values(service, module_database):
    server, trace_of = service
    response, _ = create(server, "/ingredients", {"name": "Swordfish"})
    statement = statement_of(trace_of(response), "INSERT ingredients INSERT audit_log")
    sql = statement.attributes.pop("db.query.text")
    assert "INSERT INTO ingredients" in sql
    assert "Swordfish" not in sql
    assert statement.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": module_database.database,
        "db.operation.name": "INSERT",
        "db.query.summary": "INSERT ingredients INSERT audit_log",
    }


def test_a_trace_without_a_parent_begins_with_the_request(service):
    server, trace_of = service
    response = server.request("GET", "/api/v2/potions?name=swordfish", traceparent="swordfish")
    trace = trace_of(response)
    root = root_of(trace)
    assert root.parent_id == ""
    assert log_line(server, response)["trace_id"] == root.trace_id
    assert statement_of(trace, "SELECT ingredients potion_ingredients potions")


def test_a_path_without_a_route_is_not_part_of_the_span(service):
    server, trace_of = service
    [span] = trace_of(server.request("SWORDFISH", "/swordfish"))
    assert span.name == "HTTP"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert "swordfish" not in str(span).lower()


HOSTILE = {
    "no pairs": "clownfish",
    "invalid pairs": "clownfish=%ff;=,;,swordfish",
    "no ASCII": "clownfish=\xff",
    "many pairs": "clownfish=1," * 600,
    "blanks, in quadratic time": "clownfish=" + " " * 8000 + "x",
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE)
def test_headers_of_clients_are_neither_logged_nor_parsed_for_long(service, header):
    server, trace_of = service
    headers = {"traceparent": make_traceparent(), "tracestate": header, "baggage": header}
    response = server.request("GET", "/livez", **headers)
    assert root_of(trace_of(response)).attributes["http.response.status_code"] == 200
    assert "clownfish" not in server.log.read_text()


def test_the_resource_names_the_service(service):
    server, trace_of = service
    [span] = trace_of(server.request("GET", "/nowhere"))
    assert span.resource["service.name"] == "alchemist"
    assert span.resource["service.version"] == alchemist.__version__


def test_a_failure_has_its_type_and_no_values(fresh_database, tmp_path):
    with traced_service(fresh_database, tmp_path) as (server, trace_of):
        with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
            connection.execute(text("ALTER TABLE ingredients RENAME TO gone"))
        body = json.dumps({"name": "Swordfish"})
        trace = trace_of(server.request("POST", "/api/v2/ingredients", body, **JSON))
    root = root_of(trace)
    assert root.has_error
    assert root.attributes["http.response.status_code"] == 500
    assert root.attributes["error.type"] == "sqlalchemy.exc.ProgrammingError"
    statement = statement_of(trace, "INSERT ingredients INSERT audit_log")
    assert statement.has_error
    assert statement.attributes["db.response.status_code"] == "42P01"
    assert statement.attributes["error.type"] == "42P01"
    assert "Swordfish" not in str(trace)


def test_the_variables_of_opentelemetry_apply(fresh_database, tmp_path):
    variables = {
        "OTEL_SERVICE_NAME": "apothecary",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.version=9",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }
    with traced_service(fresh_database, tmp_path, **variables) as (server, trace_of):
        for headers in ({}, {"traceparent": make_traceparent(is_sampled=False)}):
            response = server.request("GET", "/api/v2/potions", **headers)
            assert log_line(server, response)["trace_id"] in response.headers["traceresponse"]
        trace = trace_of(server.request("GET", "/api/v2/potions", traceparent=make_traceparent()))
    assert root_of(trace).name == "GET /api/v2/potions"
    assert trace[0].resource["service.name"] == "apothecary"
    assert trace[0].resource["service.version"] == "9"
    assert trace[0].resource["deployment.environment.name"] == "test"


def test_a_worker_sends_its_last_spans_when_it_ends(fresh_database, tmp_path):
    with receiving() as receiver:
        endpoint = f"http://127.0.0.1:{receiver.port}"
        delay = {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
        with Gunicorn(fresh_database, tmp_path, **tracing(endpoint, **delay)) as server:
            assert server.request("GET", "/api/v2/potions").status == 200
            assert not receiver.messages
        assert server.process.returncode == 0
    assert "GET /api/v2/potions" in [span.name for span in spans(receiver.messages)]


def export_failures(server):
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    return [line for line in lines if line["logger"].startswith("opentelemetry")]


def test_an_unreachable_collector_fails_no_request_and_is_logged_once(fresh_database, tmp_path):
    variables = tracing("http://127.0.0.1:1", OTEL_BSP_MAX_QUEUE_SIZE="4")
    variables |= {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_WORKERS="1", **variables) as server:
        answers = [server.request("GET", "/api/v2/potions").status for _ in range(100)]
        assert set(answers) == {200}
    assert server.process.returncode == 0
    messages = [line["message"] for line in export_failures(server)]
    assert any("127.0.0.1" in message for message in messages)
    assert len(messages) == len(set(messages)) <= 4


def test_a_collector_that_never_answers_does_not_delay_the_end(fresh_database, tmp_path):
    """A worker would be killed, and the exit status would be another."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        variables = tracing(f"http://127.0.0.1:{silent.getsockname()[1]}")
        variables["OTEL_EXPORTER_OTLP_TIMEOUT"] = "3600"
        with Gunicorn(fresh_database, tmp_path, **variables) as server:
            assert server.request("GET", "/api/v2/potions").status == 200
        assert server.process.returncode == 0
    assert "SIGKILL" not in server.log.read_text()
