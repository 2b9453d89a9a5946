"""What switches traces and error reports on, and what happens if they cannot start."""

import json
import logging
import subprocess
import sys

import pytest

from alchemist.database.statement_spans import operation_and_summary
from alchemist.server import telemetry
from alchemist.server.telemetry.tracing import EnvironGetter, RepeatFilter
from tests.processes import environment

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
PRINT_MODULES = """
import json, sys
from alchemist.app import create_app
from alchemist.server import telemetry
telemetry.init_app(create_app())
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in (*telemetry.ENDPOINT_VARIABLES, "OTEL_TRACES_EXPORTER", "SENTRY_DSN"):
        monkeypatch.delenv(name, raising=False)


def loaded(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return [module.__name__ for module in telemetry.import_enabled_modules.__wrapped__()]


def imported(**variables):
    """Return the packages that a new process with these variables imports, and its log."""
    database = {"DATABASE_URL": "postgresql://localhost/alchemist"}
    process = subprocess.run(
        [sys.executable, "-c", PRINT_MODULES],
        env={**environment(), **database, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(process.stdout)), process.stderr


def test_without_variables_nothing_is_imported():
    packages, log = imported()
    assert packages.isdisjoint({"opentelemetry", "sentry_sdk", "google", "requests"})
    assert log == ""


def test_with_them_an_app_starts_with_all_of_its_databases():
    replica = {"ALCHEMIST_REPLICA_URL": "postgresql://localhost/alchemist"}
    packages, log = imported(**ENDPOINT, **replica, SENTRY_DSN="http://key@127.0.0.1:1/1")
    assert packages >= {"opentelemetry", "sentry_sdk"}
    assert log == ""


TRACING, ERROR_REPORTS = (
    "alchemist.server.telemetry.tracing",
    "alchemist.server.telemetry.error_reports",
)


@pytest.mark.parametrize(
    ("variables", "modules"),
    [
        (ENDPOINT, [TRACING]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, [TRACING]),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, [TRACING]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, []),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, []),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, []),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, [TRACING]),
        ({"OTEL_SERVICE_NAME": "apothecary"}, []),
        ({"SENTRY_DSN": "http://key@127.0.0.1:1/1"}, [ERROR_REPORTS]),
        ({"SENTRY_DSN": ""}, []),
    ],
)
def test_the_standard_variables_are_the_switches(monkeypatch, variables, modules):
    assert loaded(monkeypatch, **variables) == modules


@pytest.mark.parametrize(
    ("package", "variables", "module"),
    [
        ("opentelemetry", ENDPOINT, TRACING),
        ("sentry_sdk", {"SENTRY_DSN": "http://key@127.0.0.1:1/1"}, ERROR_REPORTS),
    ],
)
def test_a_missing_package_is_one_warning(monkeypatch, caplog, package, variables, module):
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    assert loaded(monkeypatch, **variables) == []
    [message] = caplog.messages
    assert package in message
    assert "requirements/telemetry.txt" in message


@pytest.mark.parametrize(
    ("variable", "value", "module"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", TRACING),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", TRACING),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", TRACING),
        ("SENTRY_DSN", "nonsense", ERROR_REPORTS),
    ],
)
def test_an_invalid_variable_is_a_warning(monkeypatch, caplog, variable, value, module):
    monkeypatch.delitem(sys.modules, module, raising=False)
    assert module not in loaded(monkeypatch, **ENDPOINT | {variable: value})
    [message] = caplog.messages
    assert message.startswith(f"The environment of {module.rpartition('.')[2].replace('_', ' ')}")


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("OTEL_PROPAGATORS", "smoke-signals", "Propagator smoke-signals not found"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "max_queue_size must be a positive integer"),
    ],
)
def test_an_invalid_variable_of_the_sdk_prevents_no_start(variable, value, reason):
    _, log = imported(**ENDPOINT, **{variable: value})
    [line] = log.splitlines()
    assert line.startswith(f"The environment of tracing is invalid: {reason}")


@pytest.mark.parametrize(
    ("sql", "summary"),
    [
        ("SELECT potions.pk \nFROM potions WHERE x FOR NO KEY UPDATE OF potions", "SELECT potions"),
        ("SELECT a FROM (SELECT b FROM stores JOIN heroes ON c) AS x", "SELECT stores heroes"),
        (
            "WITH a AS \n(INSERT INTO potions (pk) SELECT 1), "
            "b AS (INSERT INTO audit_log (pk) SELECT a.pk FROM a) SELECT 1 FROM a",
            "INSERT potions INSERT audit_log",
        ),
        ("INSERT INTO coupons (a) VALUES (1) ON CONFLICT DO UPDATE SET a = 2", "INSERT coupons"),
        (
            "WITH a AS (SELECT 1 FROM stores FOR NO KEY UPDATE), "
            "b AS (UPDATE products SET x FROM a) SELECT 1",
            "UPDATE products",
        ),
        ("DELETE FROM ingredients WHERE pk = %(pk)s", "DELETE ingredients"),
        ("WITH a AS (SELECT 1 FROM orders) SELECT 1 FROM a", "SELECT orders"),
        ("select pg_catalog.version()", "SELECT"),
        ("show transaction_read_only", "SHOW"),
        ("", ""),
    ],
)
def test_a_statement_is_summarized_by_its_operations_and_tables(sql, summary):
    assert operation_and_summary(sql) == (summary.partition(" ")[0], summary)


@pytest.mark.parametrize(("length", "is_read"), [(512, True), (513, False)])
def test_a_header_that_is_too_long_is_not_read(length, is_read):
    environ = {"HTTP_TRACESTATE": "x" * length}
    assert (EnvironGetter().get(environ, "tracestate") is not None) == is_read


def test_a_message_is_logged_once_in_a_while(monkeypatch):
    repeat = RepeatFilter()
    now = 1000.0
    monkeypatch.setattr("alchemist.server.telemetry.tracing.monotonic", lambda: now)
    records = [logging.makeLogRecord({"msg": msg}) for msg in ("a %s", "a %s", "b")]
    assert [repeat.filter(record) for record in records] == [True, False, True]
    now += 601
    assert repeat.filter(records[0])
