"""The log as text for people, and the choice between it and JSON."""

import ipaddress
import logging
import re
import sys
from io import StringIO

import pytest

from alchemist.api import access_log, log_formats
from tests.servers import Gunicorn

ESCAPE = "\x1b"


class Terminal(StringIO):
    def isatty(self):
        return True


@pytest.fixture
def root_logger(monkeypatch):
    """The root logger, whose handlers are restored at the end."""
    before = list(logging.root.handlers)
    yield logging.root
    logging.root.handlers[:] = before
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("log_format", "stream", "is_json"),
    [
        ("auto", Terminal, False),
        ("auto", StringIO, True),
        ("json", Terminal, True),
        ("text", StringIO, False),
    ],
)
def test_text_is_for_terminals_unless_it_is_configured(root_logger, log_format, stream, is_json):
    handler = logging.StreamHandler(stream())
    access_log.configure_logging([handler], "info", log_format)
    assert isinstance(handler.formatter, log_formats.JsonFormatter) == is_json


def test_no_color_switches_colours_off(monkeypatch):
    assert log_formats.create_formatter("auto", is_terminal=True).has_colours
    assert not log_formats.create_formatter("text", is_terminal=False).has_colours
    monkeypatch.setenv("NO_COLOR", "1")
    assert not log_formats.create_formatter("auto", is_terminal=True).has_colours


@pytest.fixture
def text_of(client, caplog):
    """Return a function that requests a path; it returns the lines of the log as text."""
    formatter = log_formats.TextFormatter(has_colours=True)
    caplog.set_level(logging.INFO, "alchemist")

    def send(method, path, **options):
        caplog.clear()
        client.open(path, method=method, **options)
        return [formatter.format(record) for record in caplog.records]

    return send


@pytest.mark.parametrize(
    ("method", "path", "words", "colour"),
    [
        ("GET", "/api/v2/potions?q=swordfish", "GET /api/v2/potions 200 1.5 ms", 32),
        ("GET", "/nowhere", "GET /nowhere 404 1.5 ms not-found", 33),
        ("POST", "/api/docs", "POST /api/docs 405 1.5 ms method-not-allowed", 33),
        ("POST", "/api/v2/potions", "POST /api/v2/potions 422 1.5 ms required", 33),
    ],
)
def test_a_request_is_one_short_line(text_of, method, path, words, colour):
    [line] = text_of(method, path, json={})
    plain = re.sub(r"\x1b\[\d*m", "", line)
    assert re.fullmatch(r"\d\d:\d\d:\d\d .*", plain)
    assert re.sub(r"[\d.]+ ms", "1.5 ms", plain[9:]) == words
    assert f"{ESCAPE}[{colour}m" in line


def test_no_path_controls_the_terminal(text_of):
    [line] = text_of("GET", "/a%1b%5b2J%0d%0a%e2%80%ae%c2%9b")
    assert re.sub(r"\x1b\[\d*m", "", line).isprintable()
    assert "/a%1B%5B2J%0D%0A%E2%80%AE%C2%9B 4" in re.sub(r"\x1b\[\d*m", "", line)


def test_no_message_controls_the_terminal():
    formatter = log_formats.TextFormatter(has_colours=False)
    record = logging.LogRecord("x", logging.WARNING, "", 1, "a\x1b[2J\nb\u202ec", (), None)
    assert formatter.format(record)[9:] == r"warning a\x1b[2J\nb\u202ec"


def test_an_exception_has_its_reason_and_stack():
    formatter = log_formats.TextFormatter(has_colours=False)
    try:
        ipaddress.ip_address("\x1b[2J\x1b")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "Failed.", (), sys.exc_info())
    head, reason, *stack = formatter.format(record).splitlines()
    assert head.endswith("error Failed.")
    assert reason.startswith("  builtins.ValueError: ")
    assert reason.isprintable()
    assert stack[0] == "  Traceback (most recent call last):"
    assert stack[-1] == "  ValueError"


def test_the_server_writes_text_without_probes(fresh_database, tmp_path):
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_LOG_FORMAT="text") as server:
        server.request("GET", "/api/v2/potions?name=swordfish")
    lines = server.log.read_text().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    assert [line for line in lines if "GET /api/v2/potions 200" in line]
    assert not [line for line in lines if "livez" in line or "swordfish" in line]


def test_printable_keeps_all_that_is_harmless():
    text = "Génépi 🍕 茶\u00a0\u3000x"
    assert log_formats.escape_unprintable(text) == text
