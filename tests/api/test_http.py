"""HTTP as it comes off the wire: whatever is sent to a real gunicorn, it is told in JSON."""

import json
import re
import runpy
import socket
from contextlib import closing, suppress

import gunicorn.util
import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

from alchemist import database as db
from tests.servers import TIMEOUT

URL = "/api/v2/ingredients"
MIB = 1024 * 1024
HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /api/v2/ingredients HTTP/1.1\r\n" + HOST + JSON
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"


class Reply:
    """What came back on a socket, taken apart no further than needed."""

    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(re.fullmatch(r"HTTP/1\.[01] (\d{3}) .*", status_line)[1])
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }


@pytest.fixture
def exchange(shared_gunicorn):
    """Return what sends bytes, ends sending, and reads to the end."""

    def call(*parts):
        address = ("127.0.0.1", shared_gunicorn.port)
        with closing(socket.create_connection(address, timeout=TIMEOUT)) as connection:
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        return Reply(received)

    return call


@pytest.fixture(autouse=True)
def _still_serves(shared_gunicorn):
    """No request of this module may take the service down or leave a traceback."""
    logged = len(shared_gunicorn.log.read_text())
    yield
    assert shared_gunicorn.request("GET", URL).status == 200
    assert "Traceback" not in shared_gunicorn.log.read_text()[logged:]


def get(path, *headers):
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"".join(headers) + b"\r\n"


BROKEN = {
    "a body shorter than announced": ([POST, b"Content-Length: 100\r\n\r\n{}"], {400}),
    "a JSON body cut short": ([POST, b'Content-Length: 100\r\n\r\n{"name": "a"}'], {400}),
    "a chunk size that is none": ([CHUNKED, b"\r\nzz\r\n{}\r\n0\r\n\r\n"], {400}),
    "a chunk without its end": ([CHUNKED, b"\r\n2\r\n{}XX0\r\n\r\n"], {400}),
    "chunks that stop": ([CHUNKED, b"\r\n20\r\n{"], {400}),
    "chunks without the last": ([CHUNKED, b'\r\nd\r\n{"name": "a"}\r\n'], {400}),
    "a negative chunk size": ([CHUNKED, b"\r\n-2\r\n{}\r\n0\r\n\r\n"], {400}),
    "a Content-Length that is none": ([POST, b"Content-Length: two\r\n\r\n{}"], {400}),
    "a negative Content-Length": ([POST, b"Content-Length: -2\r\n\r\n{}"], {400}),
    "two Content-Lengths": ([POST, b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"], {400}),
    "an endless Content-Length": (
        [POST, b"Content-Length: 99999999999999999999\r\n\r\n"],
        {400, 413},
    ),
    "both lengths": ([CHUNKED, b"Content-Length: 2\r\n\r\n0\r\n\r\n"], {400}),
    "an unknown coding": ([POST, b"Transfer-Encoding: brew\r\n\r\n{}"], {400, 501}),
    "a request line that is none": ([b"nonsense\r\n\r\n"], {400}),
    "a version that is none": ([b"GET / HTTP/x\r\n\r\n"], {400, 505}),
    "HTTP/0.9": ([b"GET /\r\n\r\n"], {400, 505}),
    "HTTP/3": ([b"GET / HTTP/3.0\r\n" + HOST + b"\r\n"], {400, 505}),
    "a TLS greeting": ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"], {400}),
    "no Host": ([b"GET /livez HTTP/1.1\r\n\r\n"], {400}),
    "a Host with a path": ([b"GET /livez HTTP/1.1\r\nHost: localhost/a\r\n\r\n"], {400}),
    "a Host of two": ([b"GET /livez HTTP/1.1\r\nHost: localhost, a\r\n\r\n"], {400}),
    "a header without a colon": ([b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n"], {400}),
    "a header with a space in its name": ([get(b"/", b"X Y: 1\r\n")], {400}),
    "a header with NUL": ([get(b"/", b"X-Request-ID: a\x00b\r\n")], {400}),
    "a folded header": ([get(b"/", b"X: a\r\n b\r\n")], {400}),
    "a long URL": ([get(b"/" + b"a" * 10_000)], {400, 414}),
    "a long query": ([get(URL.encode() + b"?q=" + b"a" * 10_000)], {400, 414}),
    "a long header": ([get(URL.encode(), b"X: " + b"a" * 20_000 + b"\r\n")], {431}),
    "many headers": ([get(URL.encode(), b"X: a\r\n" * 500)], {431}),
    "a method in lower case": ([b"get /livez HTTP/1.1\r\n" + HOST + b"\r\n"], {400, 405, 501}),
    "an unknown method": ([b"BREW /livez HTTP/1.1\r\n" + HOST + b"\r\n"], {405, 501}),
    "an unknown method on a resource": ([b"BREW " + POST[5:] + b"\r\n"], {405, 501}),
    "a percent sign alone": ([get(b"/%")], {400}),
    "bytes that are not UTF-8": ([get(URL.encode() + b"?name=\xff")], {400}),
    "NUL in the path": ([get(b"/\x00")], {400, 404}),
}


@pytest.mark.parametrize(("parts", "statuses"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_on_the_wire_is_a_problem(exchange, parts, statuses):
    reply = exchange(*parts)
    assert reply.status in statuses
    assert reply.headers["content-type"] == "application/problem+json"
    told = json.loads(reply.body)
    assert told["status"] == reply.status
    assert told["type"] == f"/problems/{told['code']}"
    assert told["request_id"] == reply.headers["x-request-id"]


def chunks(body, size=65536):
    for start in range(0, len(body), size):
        part = body[start : start + size]
        yield f"{len(part):x}\r\n".encode() + part + b"\r\n"
    yield b"0\r\n\r\n"


def padded(size):
    return b'{"name": "Mandrake"' + b" " * (size - 20) + b"}"


@pytest.mark.parametrize("peer", [("127.0.0.1", 4444), ""])
def test_no_proxy_is_believed_what_it_says_of_tls(monkeypatch, peer):
    """Neither one on this machine nor one behind a unix socket."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/alchemist")
    monkeypatch.setattr(gunicorn.util, "write_error", gunicorn.util.write_error)
    shipped, cfg = runpy.run_path(str(db.PROJECT_ROOT / "gunicorn.conf.py")), Config()
    for name in cfg.settings.keys() & shipped.keys():
        cfg.set(name, shipped[name])
    sent = [get(b"/", b"X-Forwarded-Proto: https\r\n", b"X-Forwarded-Ssl: on\r\n")]
    assert next(RequestParser(cfg, sent, peer)).scheme == "http"


@pytest.mark.parametrize("name", [b"SCRIPT_NAME", b"PATH_INFO", b"REMOTE_ADDR", b"X_FORWARDED_FOR"])
def test_a_header_is_no_variable_of_the_server(exchange, name):
    """Nor from a proxy on this machine, which hands on what its clients send."""
    reply = exchange(get(b"/livez", name + b": /api\r\n", b"Connection: close\r\n"))
    assert (reply.status, json.loads(reply.body)) == (200, {"status": "ok"})


def test_http_1_0_needs_no_host(exchange):
    assert exchange(b"GET /livez HTTP/1.0\r\n\r\n").status == 200


def test_a_chunked_body_is_read(exchange):
    reply = exchange(CHUNKED, b"Connection: close\r\n\r\n", *chunks(b'{"name": "Mandrake"}', 3))
    assert reply.status == 201
    assert json.loads(reply.body)["name"] == "Mandrake"


def test_a_chunked_body_of_one_mebibyte_is_read(exchange):
    reply = exchange(CHUNKED, b"Connection: close\r\n\r\n", *chunks(padded(MIB)))
    assert reply.status == 201


@pytest.mark.parametrize("size", [MIB + 1, 8 * MIB])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_beyond_one_mebibyte_is_413(shared_gunicorn, size, chunked):
    """Told to clients that listen when they are cut off while they send, as curl does."""
    body = padded(size)
    length = f"Content-Length: {size}\r\n\r\n".encode()
    parts = [CHUNKED, b"\r\n", *chunks(body)] if chunked else [POST, length, body]
    with closing(socket.create_connection(("127.0.0.1", shared_gunicorn.port), 10)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
        reply = Reply(connection.recv(65536))
    assert reply.status == 413
    assert reply.headers["content-type"] == "application/problem+json"


def test_a_client_that_expects_100_gets_100_continue(exchange, shared_gunicorn):
    address = ("127.0.0.1", shared_gunicorn.port)
    with closing(socket.create_connection(address, timeout=TIMEOUT)) as connection:
        length = b"Content-Length: 20\r\nConnection: close\r\n"
        connection.sendall(POST + length + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b'{"name": "Mandrake"}')
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert Reply(received).status == 201


@pytest.mark.parametrize("path", [URL, "/livez", "/api/v2/nowhere"])
def test_two_requests_share_a_connection(exchange, path):
    reply = exchange(get(path.encode()), get(path.encode(), b"Connection: close\r\n"))
    assert reply.body.count(b"HTTP/1.1 ") == 1


def test_a_refused_body_does_not_become_the_next_request(exchange):
    """A view that answers without reading must not leave the body to be taken for a request."""
    smuggled = get(b"/smuggled")
    length = f"Content-Length: {len(smuggled)}\r\n\r\n".encode()
    text = POST.replace(b"application/json", b"text/plain")
    reply = exchange(text, length, smuggled, get(b"/livez", b"Connection: close\r\n"))
    # By their status lines: three digits may stand in any request id.
    assert [reply.status, *re.findall(rb"HTTP/1\.1 (\d{3}) ", reply.body)] == [415, b"200"]


def test_text_that_is_sent_unescaped_is_read_as_utf_8(exchange, shared_gunicorn):
    shared_gunicorn.request("POST", URL, '{"name": "Ähre"}', **{"Content-Type": "application/json"})
    reply = exchange(get(f"{URL}?name=Ähre".encode(), b"Connection: close\r\n"))
    assert reply.status in {200, 400}
    if reply.status == 200:
        assert [row["name"] for row in json.loads(reply.body)] == ["Ähre"]


def test_head_answers_no_body_on_the_wire(exchange):
    reply = exchange(b"HEAD " + get(URL.encode(), b"Connection: close\r\n")[4:])
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) > 0


def test_a_304_has_no_body_on_the_wire(exchange, shared_gunicorn):
    made = shared_gunicorn.request(
        "POST", URL, b'{"name": "a"}', **{"Content-Type": "application/json"}
    )
    condition = f"If-None-Match: {made.headers['ETag']}\r\n".encode()
    reply = exchange(get(made.headers["Location"].encode(), condition, b"Connection: close\r\n"))
    assert (reply.status, reply.body) == (304, b"")
    assert reply.headers["etag"] == made.headers["ETag"]


def test_a_client_that_goes_away_leaves_no_trace(shared_gunicorn):
    for number in range(20):
        connection = socket.create_connection(("127.0.0.1", shared_gunicorn.port), timeout=TIMEOUT)
        connection.sendall(
            [get(URL.encode()), POST, POST + b"Content-Length: 9\r\n\r\n{"][number % 3]
        )
        connection.close()
