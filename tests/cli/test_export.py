"""`alchemist export`: the lists as files."""

import os
import pty
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from alchemist.api.pagination import MAX_TEXT_LIMIT, TEXT_FORMATS
from alchemist.api.pagination.text_formats import CSV
from alchemist.cli import export, main
from alchemist.cli.operations import LISTS
from tests.concurrency import await_a_waiter

FORMATS = {each.name: each.media_type for each in TEXT_FORMATS}


@pytest.fixture
def filled(module_app, module_database, monkeypatch):
    """A client of a database with the examples."""
    engines = db.current_engines()
    url = module_database.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    result = CliRunner().invoke(main, ["load-examples", "--yes"])
    assert result.exit_code == 0, result.output
    yield module_app.test_client()
    db.use_engines(engines)


def run(*arguments):
    result = CliRunner().invoke(main, ["export", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("resource", LISTS)
def test_an_export_is_the_list_of_the_api(filled, tmp_path, resource, format_name):
    answer = filled.get(
        f"/api/v2/{resource}?limit={MAX_TEXT_LIMIT}", headers={"Accept": FORMATS[format_name]}
    )
    assert answer.status_code == 200
    assert answer.data.count(b"\n") > 3, f"Add rows to sample_data/{resource}.json."
    output = tmp_path / "rows"
    assert run(resource, "--format", format_name, "--output", str(output)) == b""
    assert output.read_bytes() == answer.data
    assert run(resource, "--format", format_name) == answer.data


def test_every_list_of_rows_can_be_exported(app):
    paths = app.test_client().get("/api/v2/openapi.json").json["paths"]
    lists = {
        path.removeprefix("/api/v2/")
        for path, item in paths.items()
        if "{" not in path
        and "get" in item
        and "text/csv" in item["get"]["responses"]["200"].get("x-other-content", {})
    }
    assert lists == set(LISTS)


@pytest.fixture
def failing_export(monkeypatch):
    """Let an export fail after the first chunk."""

    def read_chunks(*_):
        yield b"first,"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_read_chunks", read_chunks)


def test_a_file_is_not_changed_by_an_export_that_fails(filled, tmp_path, failing_export):
    output = tmp_path / "products.csv"
    output.write_bytes(b"before")
    result = CliRunner().invoke(main, ["export", "products", "--output", str(output)])
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert output.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["products.csv"]


def test_an_export_to_a_directory_that_is_missing_is_an_error(filled, tmp_path):
    output = str(tmp_path / "missing" / "products.csv")
    result = CliRunner().invoke(main, ["export", "products", "--output", output])
    assert result.exit_code == 1
    assert output in result.stderr


def test_a_link_stays_and_its_file_is_replaced(filled, tmp_path):
    (tmp_path / "real.csv").touch()
    (tmp_path / "link.csv").symlink_to("real.csv")
    run("stores", "--output", str(tmp_path / "link.csv"))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_bytes() == run("stores")


def test_a_file_keeps_its_permissions(filled, tmp_path):
    output = tmp_path / "users.csv"
    output.touch(mode=0o600)
    run("users", "--output", str(output))
    assert output.stat().st_mode & 0o777 == 0o600
    assert output.read_bytes()


@pytest.mark.parametrize("output", ["/dev/full", "x" * 300, ""])
def test_a_file_that_cannot_be_written_is_one_clear_line(filled, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["export", "users", "--output", output])
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert os.listdir(tmp_path) == []


def test_a_device_is_written_to(filled):
    assert run("stores", "--output", os.devnull) == b""
    assert not os.path.isfile(os.devnull)


def test_an_export_reads_one_snapshot(filled, monkeypatch):
    """A row that is created during the export is not in it."""
    before, created = run("ingredients"), []

    def create_row(schema):
        created.append(filled.post("/api/v2/ingredients", json={"name": "Late"}).json["pk"])
        return CSV.header(schema)

    monkeypatch.setitem(export.FORMATS, "csv", replace(CSV, header=create_row))
    assert run("ingredients") == before
    monkeypatch.setitem(export.FORMATS, "csv", CSV)
    assert created[0].encode() in run("ingredients")


def test_the_progress_is_on_the_terminal_only(filled):
    """Standard error is a terminal here; standard output is none."""
    reader, terminal = pty.openpty()
    command = [sys.executable, "-m", "alchemist.cli", "export", "stores"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, check=True, timeout=60)
    os.close(terminal)
    assert b"100%" in os.read(reader, 65536)
    assert done.stdout == run("stores")
    quiet = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert (quiet.stdout, quiet.stderr) == (done.stdout, b"")


@pytest.fixture(params=[signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def signum(request):
    """A signal that a new process handles, even if `nohup` started pytest."""
    before = signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_leaves_no_part_of_a_file(filled, module_database, tmp_path, signum):
    output = tmp_path / "stores.csv"
    output.write_bytes(b"before")
    command = [sys.executable, "-m", "alchemist.cli", "export", "stores", "--output", str(output)]
    engine = create_engine(module_database, poolclass=NullPool)
    # The export waits for the table.
    with engine.connect() as connection, connection.begin():
        connection.execute(text("LOCK TABLE stores"))
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            await_a_waiter(connection)
            assert len(os.listdir(tmp_path)) == 2
            process.send_signal(signum)
            _, messages = process.communicate(timeout=10)
    assert (process.returncode, messages.strip()) == (1, b"Aborted!")
    assert os.listdir(tmp_path) == ["stores.csv"]
    assert output.read_bytes() == b"before"


def test_an_unknown_list_is_an_error():
    result = CliRunner().invoke(main, ["export", "spells"])
    assert result.exit_code == 2
    assert "products" in result.stderr
