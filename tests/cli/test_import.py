"""`alchemist import`: rows from files, all of them or none."""

import json
import os
import pwd

import pytest
from click.testing import CliRunner
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from alchemist.cli import import_rows, main
from alchemist.cli.operations import BATCHES

TABLES = [*BATCHES, "potion_ingredients", "audit_log"]


@pytest.fixture
def engine(app, fresh_database, monkeypatch):
    bind, engines = db.session.session_factory.kw.get("bind"), db.current_engines()
    monkeypatch.setenv("DATABASE_URL", fresh_database.render_as_string(hide_password=False))
    yield create_engine(fresh_database, poolclass=NullPool)
    db.use_engines(engines)
    db.session.configure(bind=bind)


@pytest.fixture
def rows(engine):
    """Return a function that returns the rows of a query, or those of all tables."""

    def read(query):
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    return read


@pytest.fixture
def run(engine, tmp_path):
    """Return a function that imports a text; it returns the exit code and the output."""

    def call(resource, content, *arguments, name="rows.csv"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        result = CliRunner().invoke(main, ["import", resource, str(file), "--yes", *arguments])
        return result.exit_code, result.output

    return call


def test_rows_are_read_from_a_pipe(engine, rows):
    arguments = ["import", "ingredients", "-", "--yes"]
    result = CliRunner().invoke(main, arguments, input="name\nSalt\n")
    assert result.exit_code == 0, result.output
    assert rows("SELECT name FROM ingredients") == [("Salt",)]


def test_rows_are_created_and_the_audit_log_names_the_user_of_the_system(run, rows):
    code, output = run("ingredients", 'name,reference\nSalt,s\n"a ""b""\nc",\n')
    assert (code, output.splitlines()[-1]) == (0, "Stored 2 new rows, and 0 that existed.")
    assert rows("SELECT name, reference FROM ingredients ORDER BY pk") == [
        ("Salt", "s"),
        ('a "b"\nc', None),
    ]
    user = pwd.getpwuid(os.getuid()).pw_name
    entries = rows("SELECT action, os_user, user_id, request_id FROM audit_log")
    assert entries == [("create", user, None, None)] * 2


def test_the_name_of_the_file_or_the_option_is_the_format(run, rows):
    assert run("ingredients", '{"name": "a"}\n', name="rows.ndjson")[0] == 0
    assert run("ingredients", '{"name": "b"}\n', "--format", "ndjson")[0] == 0
    assert run("ingredients", '{"name": "c"}\n', name="rows.jsonl")[0] == 0
    assert rows("SELECT name FROM ingredients ORDER BY pk") == [("a",), ("b",), ("c",)]
    code, output = run("ingredients", '[{"name": "d"}]', name="rows.json")
    assert code == 1
    assert "line 1: It is a JSON array. Write one object on each line" in output


def test_every_mistake_of_every_chunk_is_reported_and_nothing_is_stored(run, rows):
    lines = [f"n{number}" for number in range(1200)]
    lines[3], lines[1100] = '""', "x" * 200
    code, output = run("ingredients", "name\n" + "\n".join(lines))
    assert code == 1
    assert "2 errors" in output
    assert "line 5, column 1, name: Must not be blank." in output
    assert "line 1102, column 1, name: Must have at most 127 characters." in output
    assert rows("SELECT count(*) FROM ingredients") == [(0,)]
    assert rows("SELECT count(*) FROM audit_log") == [(0,)]


def test_a_hundred_errors_are_listed(run):
    code, output = run("ingredients", "name\n" + '""\n' * 750)
    assert code == 1
    assert output.count("Must not be blank") == 100
    assert "750 errors" in output
    assert "… and 650 more." in output


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('name\na\n"b\n', "line 3: A quotation mark is missing"),
        ("name,colour\na,red\n", "line 1, column 2: There is no column 'colour'."),
        ('[{"name": "a"}]', "line 1: It is JSON, not CSV."),
        ('"name";"reference"\n', "line 1: The fields are separated by semicolons."),
        ("", "The first line must have the names of the columns."),
        (b"name\n\xff\n", "line 2: It is not UTF-8."),
    ],
)
def test_wrong_syntax_is_an_error_with_its_line(run, rows, content, error):
    code, output = run("ingredients", content)
    assert code == 1
    assert error in output
    assert rows("SELECT count(*) FROM ingredients") == [(0,)]


def test_a_dry_run_stores_nothing(run, rows):
    code, output = run("ingredients", "name\na\n", "--dry-run")
    assert code == 0
    assert output.splitlines()[-1].startswith("Nothing was stored. It would be 1 new rows")
    assert rows("SELECT count(*) FROM ingredients") == [(0,)]
    assert run("ingredients", 'name\n""\n', "--dry-run")[0] == 1


def test_it_asks_before_it_writes(engine, tmp_path, rows):
    file = tmp_path / "rows.csv"
    file.write_text("name\na\n")
    command = ["import", "ingredients", str(file)]
    assert CliRunner().invoke(main, command, input="n\n").exit_code == 1
    assert rows("SELECT count(*) FROM ingredients") == [(0,)]
    assert CliRunner().invoke(main, command, input="y\n").exit_code == 0
    assert rows("SELECT count(*) FROM ingredients") == [(1,)]


def test_rows_are_updated_by_their_references(run, rows):
    assert run("ingredients", "name,reference\na,1\nb,2\n")[0] == 0
    changed = "name,reference\nA,1\nb,2\nc,3\n"
    assert run("ingredients", changed)[0] == 1
    code, output = run("ingredients", changed, "--on-conflict", "update")
    assert (code, output.splitlines()[-1]) == (0, "Stored 1 new rows, and 2 that existed.")
    assert rows("SELECT name, version FROM ingredients ORDER BY reference") == [
        ("A", 2),
        ("b", 1),
        ("c", 1),
    ]


@pytest.mark.parametrize(("first", "second"), [(3, 700), (499, 500)])
def test_rows_exchange_their_references_wherever_they_are(run, rows, first, second):
    assert run("ingredients", "name,reference\n" + "".join(f"n,{n}\n" for n in range(1100)))[0] == 0
    lines = export("ingredients").splitlines()
    exported = [json.loads(line) for line in lines]
    exported[first]["reference"] = str(second)
    exported[second]["reference"] = str(first)
    content = "\n".join(map(json.dumps, exported))
    code, output = run("ingredients", content, "--on-conflict", "update", name="rows.ndjson")
    assert (code, output.splitlines()[-1]) == (0, "Stored 0 new rows, and 1100 that existed.")
    stored = [json.loads(line)["reference"] for line in export("ingredients").splitlines()]
    assert stored == [each["reference"] for each in exported]
    assert rows("SELECT count(*) FROM audit_log WHERE action = 'update'") == [(2,)]


def test_a_reference_that_no_row_gives_up_is_a_conflict_with_its_line(run, rows):
    assert run("ingredients", "name,reference\n" + "".join(f"n,{n}\n" for n in range(600)))[0] == 0
    keys = [json.loads(line)["pk"] for line in export("ingredients").splitlines()]
    content = f"pk,reference\n{keys[0]},599\n" + "".join(f"{key},\n" for key in keys[1:599])
    code, output = run("ingredients", content, "--on-conflict", "update")
    assert code == 1
    assert "1 errors" in output
    assert "line 2, column 2, reference: " in output
    assert 'It is "599".' in output


def test_a_row_is_imported_once(run, rows):
    content = "name,reference\n" + "".join(f"n,{number}\n" for number in range(500)) + "m,7\n"
    code, output = run("ingredients", content, "--on-conflict", "update")
    assert code == 1
    assert "line 502: An earlier entry is for the same row." in output
    assert rows("SELECT count(*) FROM ingredients") == [(0,)]


def snapshot(rows):
    return {table: sorted(map(repr, rows(f"SELECT * FROM {table}"))) for table in TABLES}


@pytest.mark.parametrize("format_name", import_rows.READERS)
def test_an_export_can_be_imported_without_a_change(run, rows, engine, format_name):
    """Of every resource, of the examples."""
    assert CliRunner().invoke(main, ["load-examples", "--yes"]).exit_code == 0
    before = snapshot(rows)
    for resource in BATCHES:
        exported = CliRunner().invoke(main, ["export", resource, "--format", format_name])
        arguments = ("--format", format_name, "--on-conflict", "update")
        code, output = run(resource, exported.stdout_bytes, *arguments)
        assert code == 0, output
        count = len(before[resource])
        assert output.splitlines()[-1] == f"Stored 0 new rows, and {count} that existed."
    assert snapshot(rows) == before


def export(resource, format_name="ndjson"):
    result = CliRunner().invoke(main, ["export", resource, "--format", format_name])
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def without_update_times(exported):
    return [{**json.loads(line), "updated_at": None} for line in exported.splitlines()]


@pytest.fixture
def load_examples_with_suspended_user(engine):
    def load():
        assert CliRunner().invoke(main, ["load-examples", "--yes"]).exit_code == 0
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE users SET suspended_at = now() WHERE role = 'customer'")
            )

    return load


@pytest.fixture
def empty_tables(engine):
    def empty():
        with engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(TABLES)} CASCADE"))

    return empty


@pytest.mark.parametrize("format_name", import_rows.READERS)
@pytest.mark.parametrize("options", [(), ("--on-conflict", "update")])
def test_an_export_can_be_imported_into_an_empty_database(
    run, rows, load_examples_with_suspended_user, empty_tables, format_name, options
):
    load_examples_with_suspended_user()
    files = {name: export(name, format_name) for name in BATCHES}
    before = {name: without_update_times(export(name)) for name in BATCHES}
    empty_tables()
    for resource, content in files.items():
        code, output = run(resource, content, "--format", format_name, *options)
        assert code == 0, output
        count = len(before[resource])
        assert output.splitlines()[-1] == f"Stored {count} new rows, and 0 that existed."
    after = {name: without_update_times(export(name)) for name in BATCHES}
    assert after == before
    assert rows("SELECT count(*) FROM users WHERE suspended_at IS NOT NULL") != [(0,)]
    stored = snapshot(rows)
    for resource in BATCHES:
        arguments = ("--format", format_name, "--on-conflict", "update")
        code, output = run(resource, export(resource, format_name), *arguments)
        assert code == 0, output
    assert snapshot(rows) == stored


def test_a_deleted_row_is_restored_with_its_key(run, rows, engine):
    assert run("ingredients", "name\na\nb\n")[0] == 0
    content = export("ingredients", "csv")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM ingredients WHERE name = 'a'"))
    code, output = run("ingredients", content, "--on-conflict", "update")
    assert (code, output.splitlines()[-1]) == (0, "Stored 1 new rows, and 1 that existed.")
    assert export("ingredients").count(b"\n") == 2


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"pk,name\nkey,a\n", "line 2, column 1, pk: Not a UUID."),
        (b"name,created_at\na,yesterday\n", "line 2, column 2, created_at: Not an RFC 3339"),
        (
            b"pk,name\n" + b"01935f2e-7c1a-7b3e-9d3c-0123456789ab,a\n" * 2,
            "line 3, column 1, pk: Line 2 is for the same row.",
        ),
        (
            b"pk,name\n"
            + b"01935f2e-7c1a-7b3e-9d3c-0123456789ab,a\n"
            + b",b\n" * 500
            + b"01935F2E-7C1A-7B3E-9D3C-0123456789AB,a\n",
            "line 503, column 1, pk: A row with this key exists.",
        ),
    ],
)
def test_a_key_or_time_that_is_not_valid_is_an_error(run, rows, content, error):
    code, output = run("ingredients", content)
    assert code == 1
    assert error in output
    assert rows("SELECT count(*) FROM ingredients") == [(0,)]


def test_a_key_that_a_row_has_is_an_error(run, rows):
    assert run("ingredients", "name\na\n")[0] == 0
    code, output = run("ingredients", export("ingredients", "csv"))
    assert code == 1
    assert "line 2, column 1, pk: A row with this key exists." in output


def test_a_read_only_column_must_fit_the_new_row(run, rows):
    """The price of a product is in the currency of its store."""
    place = ",".join(["x"] * 5)
    assert run("stores", f"name,street,zipcode,city,country,currency\n{place},EUR\n")[0] == 0
    [(store,)] = rows("SELECT pk FROM stores")
    lines = f"store_id,name,price,currency\n{store},a,1,\n{store},b,1,USD\n{store},c,1,EUR\n"
    code, output = run("products", lines)
    assert code == 1
    assert "1 errors" in output
    assert 'line 3, column 4, currency: In the new row it is "EUR".' in output


def test_every_resource_with_a_batch_can_be_imported(app):
    batches = {
        rule.rule.split("/")[3] for rule in app.url_map.iter_rules() if rule.rule.endswith("/batch")
    }
    assert batches == set(BATCHES)
