"""The `alchemist` command, run as a process that is interrupted and killed."""

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
from dataclasses import fields
from http.client import HTTPConnection, HTTPException
from time import monotonic, sleep

import psycopg
import pytest
from click.testing import CliRunner

import alchemist
from alchemist import cli, config, embedded
from alchemist.embedded import postgres, spawn
from tests import processes
from tests.servers import TIMEOUT

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "alchemist.cli"]


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """An empty working directory, without settings in the environment; undone at the end."""
    monkeypatch.chdir(tmp_path)
    environment = dict(os.environ)
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGHUP)}
    for name in list(os.environ):
        if name == "DATABASE_URL" or name.startswith("ALCHEMIST_"):
            del os.environ[name]
    yield tmp_path
    for signum, handler in handlers.items():
        signal.signal(signum, handler)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory):
    """The URL of a PostgreSQL server that the command did not start."""
    with embedded.EmbeddedPostgres(
        tmp_path_factory.mktemp("external") / "data", durable=False
    ) as server:
        yield server.url.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def unmigrated(tmp_path_factory):
    """The URL of a PostgreSQL without tables."""
    with embedded.EmbeddedPostgres(
        tmp_path_factory.mktemp("empty") / "data", durable=False
    ) as server:
        yield server.url.render_as_string(hide_password=False)


def run_failing(*arguments):
    """Return the lines of the error message of a command, run in this process."""
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ")
    return result.stderr.removeprefix("Error: ").splitlines()


def run(*arguments):
    """Return the output of a command that succeeds."""
    options = {"capture_output": True, "text": True, "env": processes.environment()}
    result = subprocess.run([*COMMAND, *arguments], check=False, **options)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


class Dev:
    """A process of `alchemist dev`, and its output."""

    def __init__(self, *arguments):
        self.process = spawn.spawn(
            [*COMMAND, "dev", *arguments],
            signal.SIGTERM,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=processes.environment(),
        )
        self.output = ""

    def await_ready(self):
        for line in self.process.stdout:
            self.output += line
            if "Ctrl-C" in line:
                return self
        raise AssertionError(self.output)

    @property
    def port(self):
        return int(re.search(r"API +http://127.0.0.1:(\d+)/", self.output)[1])

    def press_ctrl_c(self):
        # A terminal sends the signal to the whole foreground process group.
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self):
        """Return the exit code; `output` is then complete."""
        remaining, _ = self.process.communicate(timeout=TIMEOUT)
        self.output += remaining
        assert "Traceback" not in self.output
        return self.process.returncode

    def children(self):
        """Return the process ids of the direct children: PostgreSQL and gunicorn."""
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


def request(port, method, path, body=None, token=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_help_shows_a_session_the_commands_and_the_environment():
    output = CliRunner().invoke(cli.main, ["--help"]).output
    for text in ("alchemist dev", "alchemist load-examples", "alchemist migrate", "DATABASE_URL"):
        assert text in output


def test_the_version_is_that_of_the_package():
    result = CliRunner().invoke(cli.main, ["--version"], prog_name="alchemist")
    assert result.output == f"alchemist {alchemist.__version__}\n"


def test_config_prints_the_settings_without_passwords(directory, monkeypatch):
    monkeypatch.setenv(
        "DATABASE_URL", "postgresql://ada:swordfish@db.example/x?sslpassword=swordfish"
    )
    monkeypatch.setenv("ALCHEMIST_LIMIT_STORAGE", "redis://:swordfish@cache.example/0")
    (directory / ".env").write_text("ALCHEMIST_WORKERS=3\n")
    lines = run("config").splitlines()
    url = "postgresql+psycopg://ada:***@db.example/x?sslpassword=***"
    assert lines[0] == f"DATABASE_URL={url}"
    assert "ALCHEMIST_LIMIT_STORAGE=redis://:***@cache.example/0" in lines
    assert {"ALCHEMIST_WORKERS=3", "ALCHEMIST_OPEN_ACCESS=false", "# ALCHEMIST_V1_SUNSET="} < set(
        lines
    )
    names = {re.match(r"(?:# )?([A-Z0-9_]+)=", line)[1] for line in lines}
    assert names == {config.env_name(setting.name) for setting in fields(config.Settings)}


def test_config_of_an_embedded_database_creates_nothing(directory):
    assert run("config").startswith("DATABASE_URL=postgresql+psycopg://alchemist@/alchemist?host=")
    assert list(directory.iterdir()) == []


def test_what_config_prints_is_a_dotenv_file(directory, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/x")
    expected = config.load()
    output = run("config")
    monkeypatch.delenv("DATABASE_URL")
    (directory / ".env").write_text(output)
    assert config.load() == expected


@pytest.mark.parametrize("command", cli.main.commands)
def test_every_command_has_an_example(command):
    assert f"alchemist {command}" in CliRunner().invoke(cli.main, [command, "--help"]).output


def test_dev_prints_its_addresses_and_stops_on_ctrl_c(directory):
    with dev() as service:
        service.await_ready()
        assert request(service.port, "GET", "/readyz")[0] == 200
        service.press_ctrl_c()
        assert service.wait() == 0
    for text in ("/api/docs", str(directory / ".alchemist"), "Access is open", "development"):
        assert text in service.output
    assert "Stopped." in service.output
    assert processes.find(directory) == []


def test_dev_stops_on_sigterm(directory):
    with dev("--data", "data") as service:
        service.await_ready()
        service.process.terminate()
        assert service.wait() == 0
    assert processes.find(directory) == []


def test_dev_stops_on_ctrl_c_while_it_starts(directory):
    with dev("--data", str(directory / "data")) as service:
        await_data_lock(directory / "data", service)
        service.press_ctrl_c()
        assert service.wait() == 0
    processes.wait_until_ended(directory)


INTERRUPTED = """
import runpy, signal, sys

class Interrupt:
    def find_spec(name, *args):
        if name == "alchemist.config":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupt)
runpy.run_module("alchemist.cli", run_name="__main__")
"""


@pytest.mark.parametrize(("command", "code"), [("dev", 0), ("verify", 1)])
def test_ctrl_c_during_imports_exits_without_a_traceback(directory, command, code):
    options = {"capture_output": True, "text": True, "env": processes.environment()}
    result = subprocess.run([sys.executable, "-c", INTERRUPTED, command], check=False, **options)
    assert (result.returncode, result.stdout, result.stderr) == (code, "Stopped.\n", "")


def await_data_lock(data, service):
    """Return when the service has locked its data directory."""
    deadline = monotonic() + TIMEOUT
    lock = data / "lock"
    while not lock.exists() or not lock.read_text().startswith(f"{service.process.pid}\n"):
        assert monotonic() < deadline
        sleep(0.005)


@pytest.mark.slow
def test_kill_9_leaves_no_processes_and_loses_no_acknowledged_row(directory):
    data, delays = directory / "data", random.Random(9)
    acknowledged = []
    for attempt in range(8):
        with dev("--data", str(data)) as service:
            if attempt < 5:
                await_data_lock(data, service)
                sleep(delays.uniform(0, 0.8))
            else:
                service.await_ready()
                create(service, acknowledged, seconds=delays.uniform(0, 0.5))
            service.process.kill()
            processes.wait_until_ended(directory)
    with dev("--data", str(data)) as service:
        service.await_ready()
        # One request, not one per row: nothing reads the log, and its pipe would fill up.
        _, rows = request(service.port, "GET", "/api/v1/ingredients")
        assert set(acknowledged) <= {f"/api/v2/ingredients/{row['pk']}" for row in rows}
    assert len(acknowledged) > 5


def create(service, acknowledged, seconds):
    """Create ingredients until the service is killed during a request."""
    killer = threading.Timer(seconds, service.process.kill)
    killer.start()
    end = monotonic() + seconds + TIMEOUT
    with suppress(OSError, HTTPException):
        while True:
            assert monotonic() < end, "the service survives `alchemist dev`"
            body = {"name": f"Root no. {len(acknowledged)} of {service.process.pid}"}
            status, row = request(service.port, "POST", "/api/v2/ingredients", body)
            if status == 503:
                # The database stopped before gunicorn did.
                break
            assert status == 201
            acknowledged.append(f"/api/v2/ingredients/{row['pk']}")
    killer.join()


def test_an_incomplete_request_does_not_keep_the_port_of_a_killed_service(directory):
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


@pytest.mark.parametrize("name", ["PostgreSQL", "gunicorn"])
def test_dev_stops_if_a_child_process_dies(directory, name):
    with dev() as service:
        service.await_ready()
        postgresql, gunicorn = service.children()
        os.kill(postgresql if name == "PostgreSQL" else gunicorn, signal.SIGKILL)
        assert service.wait() == 1
    assert f"Error: {name} ended unexpectedly (SIGKILL)" in service.output
    processes.wait_until_ended(directory)


def test_dev_ignores_a_wsgi_module_in_the_working_directory(directory):
    (directory / "wsgi.py").write_text("raise SystemExit('not ours')")
    (directory / "gunicorn.conf.py").write_text("raise SystemExit('not ours')")
    with dev() as service:
        assert request(service.await_ready().port, "GET", "/livez")[0] == 200


def test_dev_uses_the_database_url_in_dotenv(directory, postgresql):
    (directory / ".env").write_text(f"DATABASE_URL={postgresql}\nALCHEMIST_WORKERS=1\n")
    with dev() as service:
        assert request(service.await_ready().port, "GET", "/readyz")[0] == 200
    assert re.search(r"Data +database alchemist on \S+:5432\n", service.output)
    assert "embedded" not in service.output
    assert not (directory / ".alchemist").exists()


def test_load_examples_into_a_running_service_is_idempotent(directory):
    with dev() as service:
        service.await_ready()
        assert "Added 80 to ingredients, 50 to potions, " in run("load-examples")
        assert "; skipped 249." in run("load-examples")
        assert len(request(service.port, "GET", "/api/v2/potions?limit=100")[1]) == 50


def test_tokens_of_the_embedded_database_with_and_without_a_running_service(directory):
    create = ("token", "create", "--email", "ada@alchemist.example", "--role", "customer")
    with dev("--closed", "--data", "data") as service:
        port = service.await_ready().port
        assert request(port, "GET", "/api/v2/me")[0] == 401
        admin = re.search(r"alc_\S+", service.output)[0]
        status, me = request(port, "GET", "/api/v2/me", token=admin)
        assert (status, me["user"]["role"]) == (200, "admin")
        assert "tokens:write" in me["permissions"]
        options = {"capture_output": True, "text": True, "env": processes.environment()}
        result = subprocess.run([*COMMAND, *create, "--data", "data"], check=True, **options)
        assert f"in the embedded PostgreSQL in {directory / 'data'}" in result.stderr
        customer = result.stdout.strip()
        assert request(port, "GET", "/api/v2/me", token=customer)[1]["user"]["role"] == "customer"
        service.press_ctrl_c()
        service.wait()
    assert "ada@alchemist.example" in run("token", "list", "--data", "data")
    os.environ["ALCHEMIST_OPEN_ACCESS"] = "false"
    with dev("--data", "data") as service:
        port = service.await_ready().port
        assert request(port, "GET", "/api/v2/me")[0] == 401
        assert request(port, "GET", "/api/v2/me", token=admin)[0] == 200
    assert "alchemist token create --data data --email" in service.output
    assert "alc_" not in service.output
    # The warning about the role is for production.
    assert "alchemist grant" not in service.output


def test_dev_listens_on_alchemist_bind(directory, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("ALCHEMIST_BIND", f"127.0.0.1:{port}")
        (line,) = run_failing("dev")
    assert line.startswith(f"Port {port} of 127.0.0.1 is not free")


@pytest.mark.parametrize(
    "bind", ["0.0.0.0:8000", ":8000", "unix:x.sock", "127.0.0.1:1,127.0.0.1:2"]
)
def test_dev_rejects_an_alchemist_bind_that_it_cannot_use(directory, monkeypatch, bind):
    monkeypatch.setenv("ALCHEMIST_BIND", bind)
    (line,) = run_failing("dev")
    assert "ALCHEMIST_BIND" in line


def test_dev_reloads_changed_code_with_an_option(directory):
    with dev("--reload") as service:
        service.await_ready()
        _postgresql, gunicorn = service.children()
        with open(f"/proc/{gunicorn}/cmdline") as file:
            assert "--reload" in file.read().split("\0")
    assert "Reloader is on" in service.output


def test_dev_reports_what_it_does_before_it_is_done(directory):
    with dev("--data", "data") as service:
        output = service.await_ready().output
    steps = ["Starting PostgreSQL", "Creating its files", "Migrating the tables", "Starting the"]
    places = [output.index(step) for step in [*steps, "Ready."]]
    assert places == sorted(places)


def test_load_examples_without_a_running_service(directory):
    assert "Added 80 to ingredients" in run("load-examples", "--data", "data")
    assert processes.find(directory) == []
    with embedded.EmbeddedPostgres(directory / "data") as server:
        assert count(server.url, "potions") == 50


def count(url, table):
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(dsn) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


NEEDS_A_DATABASE = [
    *(["migrate"], ["verify"], ["purge"], ["token", "list"], ["grant", "alchemist_service"]),
    ["set-limits"],
    ["token", "create", "--email", "ada@alchemist.example", "--role", "admin"],
    ["token", "revoke", "01935f2e-7c1a-7b3e-9d3c-0123456789ab"],
]


REQUIRES_TABLES = [
    ["load-examples"],
    ["verify"],
    ["token", "create", "--email", "ada@alchemist.example", "--role", "admin"],
    ["token", "list"],
    ["token", "revoke", "01935f2e-7c1a-7b3e-9d3c-0123456789ab"],
]


@pytest.mark.parametrize("command", REQUIRES_TABLES, ids=" ".join)
def test_an_unmigrated_database_is_one_clear_line(directory, unmigrated, monkeypatch, command):
    monkeypatch.setenv("DATABASE_URL", unmigrated)
    assert run_failing(*command) == ["The database is not up to date: run `alchemist migrate`."]


def test_migrate_prints_the_revisions(directory, monkeypatch):
    with embedded.EmbeddedPostgres(directory / "empty", durable=False) as server:
        monkeypatch.setenv("DATABASE_URL", server.url.render_as_string(hide_password=False))
        assert re.search(
            r"Database alchemist on \S+:5432 was migrated from nothing to \d{4}\.", run("migrate")
        )
        assert re.search(r"Database alchemist on \S+:5432 is up to date at \d{4}\.", run("migrate"))


def test_a_used_port_is_one_clear_line(directory):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (line,) = run_failing("dev", "--port", str(port))
    assert line.startswith(f"Port {port} of 127.0.0.1 is not free (Address already in use)")
    assert not (directory / ".alchemist").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "nowhere.invalid", "a" * 70])
def test_a_host_that_is_not_a_loopback_address_is_one_clear_line(directory, host):
    (line,) = run_failing("dev", "--host", host)
    assert line.startswith(f"--host {host}: ")
    assert not (directory / ".alchemist").exists()


def test_a_data_directory_in_use_is_one_clear_line(directory):
    with embedded.EmbeddedPostgres(directory / ".alchemist", durable=False):
        (line,) = run_failing("dev", "--port", "0")
    assert line.endswith(f"is in use by process {os.getpid()}.")


def test_a_data_directory_of_another_version_is_one_clear_line(directory):
    with embedded.EmbeddedPostgres(directory / ".alchemist", durable=False) as server:
        version = server.directory.cluster / "PG_VERSION"
    version.write_text("17\n")
    (line,) = run_failing("dev", "--port", "0")
    assert "was made by PostgreSQL 17" in line


def test_a_full_disk_is_one_clear_line(directory, monkeypatch):
    monkeypatch.setattr(postgres, "MIN_FREE_MB_FIRST", 10**9)
    (line,) = run_failing("dev", "--port", "0")
    assert line.startswith("Not enough disk")


def test_a_data_directory_with_other_files_is_one_clear_line(directory):
    (directory / "notes.txt").touch()
    (line,) = run_failing("dev", "--port", "0", "--data", ".")
    assert line.endswith("contains other files: choose a new directory with --data.")


def test_every_error_of_the_environment_is_a_line(directory, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "mysql://localhost/x")
    monkeypatch.setenv("ALCHEMIST_WORKERS", "many")
    monkeypatch.setenv("ALCHEMIST_THREDS", "4")
    lines = run_failing("dev", "--port", "0")
    names = [line.split(":")[0] for line in lines]
    assert names == ["DATABASE_URL", "ALCHEMIST_WORKERS", "ALCHEMIST_THREDS"]


@pytest.mark.parametrize(
    "command",
    [["dev", "--port", "0"], ["load-examples"], ["config"], *NEEDS_A_DATABASE],
)
def test_a_dotenv_that_is_not_utf_8_is_one_clear_line(directory, command):
    (directory / ".env").write_bytes("DATABASE_URL=postgresql://localhost/x".encode("utf-16"))
    assert run_failing(*command) == [".env: Must be UTF-8."]
    assert not (directory / ".alchemist").exists()


@pytest.mark.parametrize("option", [[], ["--data", "typo"]], ids=["default", "--data"])
@pytest.mark.parametrize("command", NEEDS_A_DATABASE, ids=" ".join)
def test_a_missing_database_is_one_clear_line_and_is_not_created(directory, command, option):
    (line,) = run_failing(*command, *option)
    path = directory / (option[-1] if option else ".alchemist")
    assert line.startswith(f"There is no database in {path}: set DATABASE_URL, ")
    assert list(directory.iterdir()) == []


CONTROLS = "a\x1b[2J\x9b\u202eb"


@pytest.mark.parametrize(
    "arguments",
    [
        *(["verify", "--data", CONTROLS], [CONTROLS], ["verify", f"--{CONTROLS}"]),
        *(["token", "revoke", CONTROLS], ["dev", "--host", CONTROLS], ["dev", "--port", CONTROLS]),
    ],
    ids=ascii,
)
def test_no_error_message_controls_the_terminal(directory, arguments):
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code in (1, 2)
    assert r"a\x1b[2J\x9b\u202eb" in result.stderr
    assert all(line.isprintable() for line in result.stderr.splitlines())


def test_no_path_controls_the_terminal(directory):
    output = run("load-examples", "--data", CONTROLS)
    assert r"a\x1b[2J\x9b\u202eb" in output
    assert all(line.isprintable() for line in output.splitlines())


def test_data_comes_before_the_database_url(directory, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost:1/nowhere")
    (line,) = run_failing("verify", "--data", "typo")
    assert line.startswith(f"There is no database in {directory / 'typo'}: ")


def test_load_examples_asks_before_it_writes_to_another_database(
    directory, monkeypatch, fresh_database
):
    url = fresh_database.set(password="swordfish")
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    for answer, exit_code in (("", 1), ("n\n", 1), ("y\n", 0)):
        result = CliRunner().invoke(cli.main, ["load-examples"], input=answer)
        assert result.exit_code == exit_code
        assert f"into database {url.database} on {url.query['host']}:" in result.output
        assert "swordfish" not in result.output
        assert count(url, "potions") == (50 if exit_code == 0 else 0)
    result = CliRunner().invoke(cli.main, ["load-examples", "--yes"])
    assert result.exit_code == 0
    assert "Continue?" not in result.output


WRITES = [
    ["migrate"],
    ["purge"],
    ["token", "create", "--email", "ada@alchemist.example", "--role", "admin"],
]


@pytest.mark.parametrize("command", WRITES, ids=" ".join)
def test_a_command_that_writes_says_where(directory, monkeypatch, fresh_database, command):
    url = fresh_database.set(password="swordfish")
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    result = CliRunner().invoke(cli.main, command)
    assert result.exit_code == 0
    where = f"database {url.database} on {url.query['host']}:5432"
    assert where.lower() in result.output.lower()
    assert "swordfish" not in result.output


@pytest.mark.parametrize(
    "command", [["dev", "--port", "0"], ["migrate"], ["load-examples"], ["verify"]]
)
def test_an_unreachable_database_is_one_clear_line_without_the_password(
    directory, monkeypatch, command
):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("DATABASE_URL", f"postgresql://alchemist:geheim@127.0.0.1:{port}/x")
    (line,) = run_failing(*command)
    assert "Connection refused" in line
    assert "geheim" not in line


def test_a_database_of_a_newer_version_is_one_clear_line(directory, monkeypatch):
    with embedded.EmbeddedPostgres(directory / "newer", durable=False) as server:
        url = server.url.render_as_string(hide_password=False)
        monkeypatch.setenv("DATABASE_URL", url)
        run("migrate")
        dsn = server.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(dsn) as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'ffff'")
            connection.execute("UPDATE alembic_version SET compatible_revisions = '{ffff}'")
        (line,) = run_failing("migrate")
    assert "ffff" in line
