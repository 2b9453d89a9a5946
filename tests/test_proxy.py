"""The nginx configuration of the Dockerfile, with a real nginx, and the healthcheck script."""

import http.client
import json
import os
import re
import select
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from alchemist import errors
from alchemist.api import request, request_body
from alchemist.api.trace_context import TraceContext
from alchemist.database import PROJECT_ROOT
from tests.dockerfile import document
from tests.nginx import NGINX_CONF, TRUSTED_SOURCE, serving_nginx
from tests.servers import TIMEOUT, Gunicorn

pytestmark = pytest.mark.slow

PROBLEM = "application/problem+json"


class EchoHandler(BaseHTTPRequestHandler):
    """Responds with the headers and the size of the request; `/unhealthy` is a 503."""

    def respond(self) -> None:
        self.server.paths.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = json.dumps({"headers": dict(self.headers), "bytes": len(body)}).encode()
        self.send_response(503 if self.path == "/unhealthy" else 200)
        self.send_header("ETag", '"strong"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = respond  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class UnixServer(socketserver.ThreadingUnixStreamServer):
    paths: list[str]
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Some clients do not wait for the response."""


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    # tmp_path is too long for the path of a socket.
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@contextmanager
def serve(server: Any) -> Iterator[Any]:
    server.paths = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    with server:
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def backend(directory: Path) -> Iterator[UnixServer]:
    with serve(UnixServer(str(directory / "http.sock"), EchoHandler)) as server:
        yield server


def run_healthcheck(bind: str, path: str) -> int:
    return subprocess.run(
        [sys.executable, "-IS", "-c", document("production", "/healthcheck"), path],
        env={"ALCHEMIST_BIND": bind},
        capture_output=True,
        check=False,
    ).returncode


def test_the_healthcheck_works_with_a_unix_socket(backend):
    bind = f"unix:{backend.server_address}"
    assert [run_healthcheck(bind, path) for path in ("/livez", "/unhealthy")] == [0, 1]
    assert run_healthcheck(f"{bind}.missing", "/livez") == 1
    assert run_healthcheck(f"{bind}, 127.0.0.1:1", "/livez") == 0


def test_the_healthcheck_works_with_a_port():
    with serve(socketserver.ThreadingTCPServer(("127.0.0.1", 0), EchoHandler)) as server:
        bind = f"0.0.0.0:{server.server_address[1]}"
        assert [run_healthcheck(bind, path) for path in ("/livez", "/unhealthy")] == [0, 1]
    assert run_healthcheck(bind, "/livez") == 1


def test_nginx_closes_idle_upstream_connections_before_gunicorn_does():
    gunicorn_conf = (PROJECT_ROOT / "gunicorn.conf.py").read_text()
    [gunicorn_timeout] = re.findall(r"^keepalive = (\d+)\b", gunicorn_conf, re.MULTILINE)
    [nginx_timeout] = re.findall(r"upstream service \{[^}]*keepalive_timeout (\d+)s;", NGINX_CONF)
    assert int(nginx_timeout) < int(gunicorn_timeout)


def test_nginx_accepts_the_request_ids_that_the_service_accepts():
    [pattern] = re.findall(r'"~\^(.+)\$" \$http_x_request_id;', NGINX_CONF)
    assert pattern == request.REQUEST_ID_PATTERN.pattern


def status_map(variable: str) -> dict[str, str]:
    [rows] = re.findall(rf"map \$status \${variable} \{{([^}}]*)\}}", NGINX_CONF)
    return dict(re.findall(r"^\s+(\d+|default) \"?([^\";]*)\"?;$", rows, re.MULTILINE))


@pytest.mark.parametrize(("status", "code"), status_map("problem_code").items())
def test_every_problem_of_nginx_is_a_registered_problem_type(status, code):
    problem = errors.PROBLEM_TYPES[code]
    assert problem.status == int(status.replace("default", "500"))
    assert problem.status_phrase == status_map("problem_title")[status]


@pytest.fixture(scope="module")
def nginx() -> str:
    binary = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not binary and not os.environ.get("CI"):
        pytest.skip("nginx is not installed")
    assert binary, "CI installs nginx"
    return binary


@pytest.fixture(scope="module")
def proxy(nginx: str, directory: Path, backend: UnixServer) -> Iterator[SimpleNamespace]:
    """nginx with the configuration of the image, on a free port, in front of the backend."""
    with serving_nginx(nginx, directory) as server:
        yield SimpleNamespace(port=server.port, directory=directory)


def send(
    proxy: SimpleNamespace,
    method: str = "GET",
    path: str = "/",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    source: str = "127.0.0.1",
) -> SimpleNamespace:
    with closing(
        http.client.HTTPConnection(
            "127.0.0.1", proxy.port, timeout=TIMEOUT, source_address=(source, 0)
        )
    ) as connection:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return SimpleNamespace(
            status=response.status, headers=response.headers, json=json.loads(response.read())
        )


def send_raw(proxy: SimpleNamespace, data: bytes) -> tuple[int, str | None, Any]:
    """Send bytes that no HTTP client would send; return the status, media type and problem."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT) as client:
        client.sendall(data)
        response = http.client.HTTPResponse(client)
        response.begin()
        return response.status, response.headers["Content-Type"], json.loads(response.read())


def test_headers_are_forwarded(proxy):
    headers = {
        "Host": "shop.example",
        "X-Request-ID": "abc-1",
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Proto": "https",
        "Accept-Encoding": "gzip",
    }
    response = send(proxy, headers=headers)
    forwarded = response.json["headers"]
    for name in ("Host", "X-Request-ID", "X-Forwarded-Proto"):
        assert forwarded[name] == headers[name]
    assert forwarded["X-Forwarded-For"] == "192.0.2.7, 127.0.0.1"
    assert response.headers["ETag"] == '"strong"'
    assert "Content-Encoding" not in response.headers


def test_the_path_is_not_changed(proxy, backend):
    send(proxy, path="/a//../b%2Fc?q=%20")
    assert backend.paths[-1] == "/a//../b%2Fc?q=%20"


def test_a_slightly_too_large_body_is_forwarded(proxy):
    size = request_body.MAX_BODY + 1
    assert send(proxy, "POST", body=b"x" * size).json["bytes"] == size


def test_a_much_too_large_body_is_rejected_by_nginx(proxy, backend):
    count = len(backend.paths)
    body = b"x" * 2 * request_body.MAX_BODY
    response = send(proxy, "POST", body=body, headers={"X-Request-ID": "abc-2"})
    assert response.status == 413
    assert response.headers["Content-Type"] == PROBLEM
    assert response.json == {
        "type": "/problems/content-too-large",
        "title": "Content Too Large",
        "status": 413,
        "code": "content-too-large",
        "detail": "The body exceeds 1 MiB.",
        "request_id": response.headers["X-Request-ID"],
    }
    assert response.headers["X-Client-Request-ID"] == "abc-2"
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-ID"])
    assert len(backend.paths) == count


def await_log_entry(proxy: SimpleNamespace, path: str) -> Any:
    """Return the entry of a request in the access log, which nginx writes after the response."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        lines = (proxy.directory / "access.log").read_text().splitlines()
        if entries := [line for line in lines if path in line]:
            return json.loads(entries[0])
        assert time.monotonic() < deadline
        time.sleep(0.01)


TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("traceparent", "is_valid"),
    [
        (f"00-{TRACE_ID}-b7ad6b7169203331-01", True),
        (f"cc-{TRACE_ID}-b7ad6b7169203331-01-later", True),
        (f"00-{TRACE_ID}-b7ad6b7169203331-01-what", False),
        (f"ff-{TRACE_ID}-b7ad6b7169203331-01", False),
        (f"00-{TRACE_ID}-0000000000000000-01", False),
        ("swordfish", False),
    ],
)
def test_the_log_has_the_trace_id_that_the_service_logs(proxy, traceparent, is_valid):
    path = f"/traced/{uuid4()}"
    send(proxy, path=path, headers={"traceparent": traceparent})
    entry = await_log_entry(proxy, path)
    assert entry["trace_id"] == (TRACE_ID if is_valid else entry["request_id"])
    assert bool(TraceContext.from_header(traceparent, entry["request_id"])) == is_valid


def start_body(proxy: SimpleNamespace, source: str, **headers: str) -> socket.socket:
    """Begin a request whose body does not end."""
    client = socket.create_connection(("127.0.0.1", proxy.port), TIMEOUT, (source, 0))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /slow HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: 9\r\n\r\n1"
    client.sendall(head.encode())
    return client


def await_limit(proxy: SimpleNamespace, source: str) -> SimpleNamespace:
    """Send requests until one is rejected; return that answer."""
    deadline = time.monotonic() + TIMEOUT
    while (answer := send(proxy, source=source)).status == 200:
        assert time.monotonic() < deadline
    return answer


def test_an_address_has_a_limited_number_of_requests_at_once(proxy):
    with ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(start_body(proxy, "127.0.0.3"))
        answer = await_limit(proxy, "127.0.0.3")
        assert (answer.status, answer.json["code"]) == (429, "rate-limited")
        assert answer.headers["Content-Type"] == PROBLEM
        assert answer.headers["Retry-After"] == "1"
        assert send(proxy, source="127.0.0.4").status == 200


def test_an_address_has_a_limited_number_of_requests_a_second(proxy):
    statuses = [send(proxy, source="127.0.0.5").status for _ in range(1000)]
    assert statuses[:200] == [200] * 200
    assert set(statuses) == {200, 429}
    assert send(proxy, source="127.0.0.6").status == 200


def test_clients_behind_a_proxy_on_a_private_address_have_limits_of_their_own(proxy):
    with ExitStack() as stack:
        for _ in range(64):
            headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.1"}
            stack.enter_context(start_body(proxy, TRUSTED_SOURCE, **headers))
        deadline = time.monotonic() + TIMEOUT
        limited = {"X-Forwarded-For": "203.0.113.10, 198.51.100.1"}
        while send(proxy, headers=limited, source=TRUSTED_SOURCE).status == 200:
            assert time.monotonic() < deadline
        other = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
        answer = send(proxy, headers=other, source=TRUSTED_SOURCE)
        assert answer.status == 200
        assert answer.json["headers"]["X-Forwarded-For"].endswith(", 203.0.113.9")


def test_an_error_of_the_service_is_forwarded_unchanged(proxy):
    response = send(proxy, path="/unhealthy")
    assert (response.status, response.json["bytes"]) == (503, 0)


def test_an_unreachable_service_is_a_503_with_retry_after(proxy):
    socket_path, renamed = proxy.directory / "http.sock", proxy.directory / "renamed"
    socket_path.rename(renamed)
    response = send(proxy, "POST", body=b"x", headers={"X-Request-ID": '"'})
    renamed.rename(socket_path)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert response.headers["Content-Type"] == PROBLEM
    assert response.json["code"] == "unavailable"
    assert response.json["request_id"] == response.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"GARBAGE\r\n\r\n", 400, "bad-request"),
        (b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad-request"),
        (b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 8190), 414, "uri-too-long"),
        (b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 40_000), 414, "uri-too-long"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: %s\r\n\r\n" % (b"a" * 9000), 431, "headers-too-large"),
        (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 501, "not-implemented"),
    ],
)
def test_an_invalid_request_is_answered_with_a_problem(proxy, data, status, code):
    response_status, media_type, problem = send_raw(proxy, data)
    assert (response_status, media_type) == (status, PROBLEM)
    assert (problem["status"], problem["code"]) == (status, code)


ORIGIN = "https://shop.example"


@pytest.mark.parametrize(
    ("origin", "allowed"), [(ORIGIN, ORIGIN), (None, "*"), ("null", "*"), ('https://a"b', "*")]
)
def test_scripts_can_read_the_errors_of_nginx(proxy, origin, allowed):
    headers = {"Origin": origin} if origin else {}
    response = send(proxy, "POST", body=b"x" * 2 * request_body.MAX_BODY, headers=headers)
    assert response.status == 413
    assert response.headers.get_all("Access-Control-Allow-Origin") == [allowed]
    assert "X-Request-ID" in response.headers["Access-Control-Expose-Headers"]
    assert response.headers["Vary"] == "Origin"


def test_nginx_adds_no_headers_to_the_answers_of_the_service(proxy):
    response = send(proxy, path="/unhealthy", headers={"Origin": ORIGIN})
    assert response.status == 503
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Vary" not in response.headers


@pytest.fixture
def shop(nginx, fresh_database, tmp_path):
    """nginx in front of the service itself, with clients that have a second for a request."""
    with tempfile.TemporaryDirectory() as directory:
        server = Gunicorn(
            fresh_database,
            tmp_path,
            ALCHEMIST_CLIENT_TIMEOUT="1",
            ALCHEMIST_OPEN_ACCESS="false",
            ALCHEMIST_TRUSTED_PROXIES="unix",
        )
        server.environment["ALCHEMIST_BIND"] += f",unix:{directory}/http.sock"
        with server, serving_nginx(nginx, Path(directory)) as proxy:
            yield proxy


def test_the_time_of_a_whole_body_is_limited(shop):
    started = time.monotonic()
    with start_body(shop, "127.0.0.1") as client:
        while not select.select([client], [], [], 0.1)[0]:
            with suppress(OSError):
                client.sendall(b"1" if time.monotonic() < started + 0.5 else b"")
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 408
        assert json.loads(response.read())["code"] == "request-timeout"
    assert time.monotonic() - started < 8


def test_links_have_the_scheme_and_host_of_the_client(shop):
    headers = {"Host": "shop.example", "X-Forwarded-Proto": "https"}
    response = send(shop, path="/api/v2/potions", headers=headers)
    assert response.headers["Link"] == '<https://shop.example/api/v2/potions>; rel="first"'
    assert send(shop, path="/livez").status == 200


@pytest.mark.parametrize(
    "path", ["//api/v2/potions", "/%2fapi/v2/potions", "/api%2Fv2/potions", "//livez"]
)
def test_a_path_that_rules_for_another_path_would_miss_is_404(shop, path):
    response = send(shop, path=path)
    assert (response.status, response.json["code"]) == (404, "not-found")
