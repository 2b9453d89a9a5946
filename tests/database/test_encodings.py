"""Text is UTF-8, whatever the encodings of the environment and of the database are."""

import alembic.command
import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from alchemist import cli
from alchemist import database as db
from tests.databases import temporary_database

PIZZA = "🍕"


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def encoding(request):
    return request.param


@pytest.fixture
def encoded_database(encoding, database_server):
    """An empty database with another encoding than UTF-8."""
    with db.create_unpooled_engine(database_server).connect() as connection:
        has_providers = int(connection.scalar(text("SHOW server_version_num"))) >= 150000
    provider = "LOCALE_PROVIDER libc" if has_providers else ""
    options = f"TEMPLATE template0 {provider} LOCALE 'C' ENCODING '{encoding}'"
    with temporary_database(database_server, options=options) as url:
        yield url


@pytest.mark.parametrize("command", [["migrate"], ["dev", "--port", "0"], ["verify"]])
def test_a_command_rejects_another_encoding_in_one_line(
    encoding, encoded_database, monkeypatch, command
):
    monkeypatch.setenv("DATABASE_URL", encoded_database.render_as_string(hide_password=False))
    result = CliRunner().invoke(cli.main, command)
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert f"The encoding of the database is {encoding}: create it with" in line


def test_the_service_is_not_ready_and_says_why(encoding, encoded_database, make_committing_app):
    client = make_committing_app(database_url=encoded_database).test_client()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert f"The encoding of the database is {encoding}: " in response.json["detail"]
    assert client.get(f"/api/v2/ingredients?name={PIZZA}").status_code == 503


def test_alembic_rejects_another_encoding(encoding, encoded_database):
    with pytest.raises(OperationalError, match=f"is {encoding}: "):
        alembic.command.upgrade(db.alembic_config(encoded_database), "head")


@pytest.mark.parametrize("query", [{}, {"client_encoding": "latin1"}])
def test_the_service_asks_for_utf_8(make_committing_app, fresh_database, monkeypatch, query):
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    url = fresh_database.update_query_dict(query)
    client = make_committing_app(database_url=url).test_client()
    assert client.post("/api/v2/ingredients", json={"name": PIZZA}).status_code == 201
    [row] = client.get(f"/api/v2/ingredients?name={PIZZA}").json
    assert row["name"] == PIZZA


@pytest.mark.parametrize(
    "command", [["migrate"], ["load-examples", "--yes"], ["verify"], ["token", "list"]]
)
def test_commands_ask_for_utf_8(fresh_database, monkeypatch, command):
    with monkeypatch.context() as patch:
        patch.setenv("PGCLIENTENCODING", "SQL_ASCII")
        patch.setenv("DATABASE_URL", fresh_database.render_as_string(hide_password=False))
        result = CliRunner().invoke(cli.main, command)
    assert (result.exit_code, result.stderr) == (0, "")
