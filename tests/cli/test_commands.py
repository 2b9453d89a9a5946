"""The `alchemist` command: real processes, asked, interrupted and killed."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from time import monotonic, sleep

import psycopg
import pytest
from click.testing import CliRunner

from alchemist import cli, embedded
from alchemist.embedded import postgres
from tests import processes

COMMAND = [sys.executable, "-m", "alchemist.cli"]


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A directory to work in, an environment without settings, and both as before afterwards."""
    monkeypatch.chdir(tmp_path)
    environment, handlers = dict(os.environ), [signal.SIGTERM, signal.SIGHUP]
    before = [signal.getsignal(request) for request in handlers]
    for name in list(os.environ):
        if name == "DATABASE_URL" or name.startswith("ALCHEMIST_"):
            del os.environ[name]
    yield tmp_path
    for request, handler in zip(handlers, before, strict=True):
        signal.signal(request, handler)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory):
    """The URL of a PostgreSQL that somebody else runs."""
    with embedded.EmbeddedPostgres(
        tmp_path_factory.mktemp("own") / "data", durable=False
    ) as server:
        yield server.url.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """The URL of a PostgreSQL without tables."""
    with embedded.EmbeddedPostgres(
        tmp_path_factory.mktemp("empty") / "data", durable=False
    ) as server:
        yield server.url.render_as_string(hide_password=False)


def refuse(*arguments):
    """Return what a command says that refuses, in this process."""
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ")
    return result.stderr.removeprefix("Error: ").splitlines()


def run(*arguments):
    """Return what a command says that succeeds."""
    how = {"capture_output": True, "text": True, "env": processes.environment()}
    done = subprocess.run([*COMMAND, *arguments], check=False, **how)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


class Dev:
    """An `alchemist dev` on a free port, its output and its service."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [*COMMAND, "dev", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=processes.environment(),
            start_new_session=True,
        )
        self.said = ""

    def await_ready(self):
        for line in self.process.stdout:
            self.said += line
            if "Ctrl-C" in line:
                return self
        raise AssertionError(self.said)

    @property
    def port(self):
        return int(re.search(r"API +http://127.0.0.1:(\d+)/", self.said)[1])

    def press_ctrl_c(self):
        # A terminal tells every process in the foreground, not only the first.
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self):
        """Return the exit code; `said` is then all that was said."""
        rest, _ = self.process.communicate(timeout=20)
        self.said += rest
        assert "Traceback" not in self.said
        return self.process.returncode

    def children(self):
        """Return the process ids of the direct children, which are PostgreSQL and gunicorn."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]


@contextmanager
def dev(*arguments):
    service = Dev("--port", "0", *arguments)
    try:
        yield service
    finally:
        service.process.kill()
        service.process.wait()
        service.process.stdout.close()


def ask(port, method, path, body=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_help_shows_a_session_the_commands_and_the_environment():
    told = CliRunner().invoke(cli.main, ["--help"]).output
    for wanted in ("alchemist dev", "alchemist load-examples", "alchemist migrate", "DATABASE_URL"):
        assert wanted in told


@pytest.mark.parametrize("command", cli.main.commands)
def test_every_command_has_an_example(command):
    assert f"alchemist {command}" in CliRunner().invoke(cli.main, [command, "--help"]).output


def test_dev_says_what_there_is_and_ends_cleanly_on_ctrl_c(outside):
    with dev() as service:
        service.await_ready()
        assert ask(service.port, "GET", "/readyz")[0] == 200
        service.press_ctrl_c()
        assert service.end() == 0
    for wanted in ("/api/docs", str(outside / ".alchemist"), "Access is open", "development"):
        assert wanted in service.said
    assert "Stopped." in service.said
    assert processes.find(outside) == []


def test_dev_ends_cleanly_on_sigterm(outside):
    with dev("--data", "there") as service:
        service.await_ready()
        service.process.terminate()
        assert service.end() == 0
    assert processes.find(outside) == []


def test_ctrl_c_while_it_starts_ends_it_cleanly_too(outside):
    with dev("--data", str(outside / "data")) as service:
        await_claim(outside / "data", service)
        service.press_ctrl_c()
        assert service.end() == 0
    processes.wait_until_ended(outside)


PRESSED = """
import runpy, signal, sys

class Pressed:
    def find_spec(name, *place):
        if name == "alchemist.config":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Pressed)
runpy.run_module("alchemist.cli", run_name="__main__")
"""


@pytest.mark.parametrize(("command", "code"), [("dev", 0), ("verify", 1)])
def test_ctrl_c_while_the_code_is_imported_ends_it_without_a_traceback(outside, command, code):
    how = {"capture_output": True, "text": True, "env": processes.environment()}
    done = subprocess.run([sys.executable, "-c", PRESSED, command], check=False, **how)
    assert (done.returncode, done.stdout, done.stderr) == (code, "Stopped.\n", "")


def await_claim(data, service):
    """Return when the service has begun to work on its data directory."""
    deadline = monotonic() + 20
    lock = data / "lock"
    while not lock.exists() or not lock.read_text().startswith(f"{service.process.pid}\n"):
        assert monotonic() < deadline
        sleep(0.005)


@pytest.mark.slow
def test_killed_at_any_moment_it_leaves_no_process_and_loses_no_answer(outside):
    data, moments = outside / "data", random.Random(9)
    acknowledged = []
    for attempt in range(8):
        with dev("--data", str(data)) as service:
            if attempt < 5:
                await_claim(data, service)
                sleep(moments.uniform(0, 0.8))
            else:
                service.await_ready()
                create(service, acknowledged, seconds=moments.uniform(0, 0.5))
            service.process.kill()
            processes.wait_until_ended(outside)
    with dev("--data", str(data)) as service:
        service.await_ready()
        # In one request: nobody reads the log here, and a line for each would fill its pipe.
        _, rows = ask(service.port, "GET", "/api/v1/ingredients")
        assert set(acknowledged) <= {f"/api/v2/ingredients/{row['pk']}" for row in rows}
    assert len(acknowledged) > 5


def create(service, acknowledged, seconds):
    """Create ingredients until the service is killed in the middle of one."""
    killer = threading.Timer(seconds, service.process.kill)
    killer.start()
    end = monotonic() + seconds + 10
    with suppress(OSError, HTTPException):
        while True:
            assert monotonic() < end, "the service outlives `alchemist dev`"
            body = {"name": f"Root no. {len(acknowledged)} of {service.process.pid}"}
            status, row = ask(service.port, "POST", "/api/v2/ingredients", body)
            if status == 503:
                # The database heard of the death first.
                break
            assert status == 201
            acknowledged.append(f"/api/v2/ingredients/{row['pk']}")
    killer.join()


def test_a_request_that_never_ends_does_not_keep_the_port_of_a_killed_service(outside):
    with dev() as service:
        port = service.await_ready().port
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(
                b"POST /api/v2/ingredients HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
            )
            sleep(0.2)
            service.process.kill()
            with dev("--port", str(port)) as successor:
                assert successor.await_ready().port == port


@pytest.mark.parametrize("victim", ["PostgreSQL", "gunicorn"])
def test_when_a_part_dies_everything_stops(outside, victim):
    with dev() as service:
        service.await_ready()
        postgresql, gunicorn = service.children()
        os.kill(postgresql if victim == "PostgreSQL" else gunicorn, signal.SIGKILL)
        assert service.end() == 1
    assert f"Error: {victim} ended unexpectedly (SIGKILL)" in service.said
    processes.wait_until_ended(outside)


def test_dev_takes_its_own_wsgi_module(outside):
    (outside / "wsgi.py").write_text("raise SystemExit('of somebody else')")
    (outside / "gunicorn.conf.py").write_text("raise SystemExit('of somebody else')")
    with dev() as service:
        assert ask(service.await_ready().port, "GET", "/livez")[0] == 200


def test_dev_uses_the_database_that_dotenv_names(outside, postgresql):
    (outside / ".env").write_text(f"DATABASE_URL={postgresql}\nALCHEMIST_WORKERS=1\n")
    with dev() as service:
        assert ask(service.await_ready().port, "GET", "/readyz")[0] == 200
    assert "the PostgreSQL of DATABASE_URL" in service.said
    assert "embedded" not in service.said
    assert not (outside / ".alchemist").exists()


def test_examples_are_loaded_into_a_running_service_once(outside):
    with dev() as service:
        service.await_ready()
        assert "Added 80 to ingredients, 50 to potions, " in run("load-examples")
        assert "; 249 examples were there already." in run("load-examples")
        assert len(ask(service.port, "GET", "/api/v2/potions?limit=100")[1]) == 50


def test_examples_are_loaded_without_a_service(outside):
    assert "Added 80 to ingredients" in run("load-examples", "--data", "there")
    assert processes.find(outside) == []
    with embedded.EmbeddedPostgres(outside / "there") as server:
        assert count(server.url, "potions") == 50


def count(url, table):
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(dsn) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


NEEDING_TABLES = [
    ["load-examples"],
    ["verify"],
    ["token", "create", "--email", "ada@alchemist.example", "--role", "admin"],
    ["token", "list"],
    ["token", "revoke", "01935f2e-7c1a-7b3e-9d3c-0123456789ab"],
]


@pytest.mark.parametrize("command", NEEDING_TABLES, ids=" ".join)
def test_a_database_of_ones_own_without_tables_is_one_clear_line(
    outside, empty, monkeypatch, command
):
    monkeypatch.setenv("DATABASE_URL", empty)
    assert refuse(*command) == ["The tables are not up to date: run `alchemist migrate`."]


def test_migrate_says_what_it_did(outside, monkeypatch):
    with embedded.EmbeddedPostgres(outside / "empty", durable=False) as server:
        monkeypatch.setenv("DATABASE_URL", server.url.render_as_string(hide_password=False))
        assert re.search(r"alchemist went from nothing to \d{4}\.", run("migrate"))
        assert re.search(r"alchemist is up to date at \d{4}\.", run("migrate"))


def test_a_taken_port_is_one_clear_line(outside):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (line,) = refuse("dev", "--port", str(port))
    assert line.startswith(f"Port {port} of 127.0.0.1 is not free (Address already in use)")
    assert not (outside / ".alchemist").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "nowhere.invalid", "a" * 70])
def test_a_host_that_is_no_loopback_address_is_one_clear_line(outside, host):
    (line,) = refuse("dev", "--host", host)
    assert line.startswith(f"--host {host}: ")
    assert not (outside / ".alchemist").exists()


def test_a_data_directory_in_use_is_one_clear_line(outside):
    with embedded.EmbeddedPostgres(outside / ".alchemist", durable=False):
        (line,) = refuse("dev", "--port", "0")
    assert line.endswith(f"is in use by process {os.getpid()}.")


def test_a_data_directory_of_another_version_is_one_clear_line(outside):
    with embedded.EmbeddedPostgres(outside / ".alchemist", durable=False) as server:
        version = server.directory.cluster / "PG_VERSION"
    version.write_text("17\n")
    (line,) = refuse("dev", "--port", "0")
    assert "was made by PostgreSQL 17" in line


def test_a_small_disk_is_one_clear_line(outside, monkeypatch):
    monkeypatch.setattr(postgres, "MIN_FREE_MB_FIRST", 10**9)
    (line,) = refuse("dev", "--port", "0")
    assert line.startswith("Not enough disk")


def test_a_data_directory_with_other_things_is_one_clear_line(outside):
    (outside / "notes.txt").touch()
    (line,) = refuse("dev", "--port", "0", "--data", ".")
    assert line.endswith("contains other files: choose a new directory with --data.")


def test_every_mistake_of_the_environment_is_a_line(outside, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "mysql://localhost/x")
    monkeypatch.setenv("ALCHEMIST_WORKERS", "many")
    monkeypatch.setenv("ALCHEMIST_THREDS", "4")
    lines = refuse("dev", "--port", "0")
    names = [line.split(":")[0] for line in lines]
    assert names == ["DATABASE_URL", "ALCHEMIST_WORKERS", "ALCHEMIST_THREDS"]


@pytest.mark.parametrize(
    "command",
    [["dev", "--port", "0"], ["migrate"], ["load-examples"], ["verify"], ["token", "list"]],
)
def test_a_dotenv_that_is_not_utf_8_is_one_clear_line(outside, command):
    (outside / ".env").write_bytes("DATABASE_URL=postgresql://localhost/x".encode("utf-16"))
    assert refuse(*command) == [".env: Must be UTF-8."]
    assert not (outside / ".alchemist").exists()


def test_migrate_without_a_database_is_one_clear_line(outside):
    (line,) = refuse("migrate")
    assert line.startswith("DATABASE_URL: ")


@pytest.mark.parametrize(
    "command", [["dev", "--port", "0"], ["migrate"], ["load-examples"], ["verify"]]
)
def test_an_unreachable_database_is_one_clear_line_without_the_password(
    outside, monkeypatch, command
):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    monkeypatch.setenv("DATABASE_URL", f"postgresql://alchemist:geheim@127.0.0.1:{port}/x")
    (line,) = refuse(*command)
    assert "Connection refused" in line
    assert "geheim" not in line


def test_a_database_of_a_newer_version_is_one_clear_line(outside, monkeypatch):
    with embedded.EmbeddedPostgres(outside / "newer", durable=False) as server:
        url = server.url.render_as_string(hide_password=False)
        monkeypatch.setenv("DATABASE_URL", url)
        run("migrate")
        dsn = server.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(dsn) as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'ffff'")
        (line,) = refuse("migrate")
    assert "ffff" in line
