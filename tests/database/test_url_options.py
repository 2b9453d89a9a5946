"""Parameters of DATABASE_URL apply to the service as they do to the commands."""

from urllib.parse import quote

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from alchemist import config
from alchemist import database as db
from alchemist.cli import main, migrations
from tests.servers import free_port

SEARCH_PATH = "-csearch_path=shop"


@pytest.fixture
def shop_database(empty_database):
    """A database with the schema `shop`, into which no migration went yet."""
    with db.create_unpooled_engine(empty_database).begin() as connection:
        connection.execute(text("CREATE SCHEMA shop"))
    return empty_database


@pytest.mark.parametrize("source", ["URL", "repeated in the URL", "PGOPTIONS"])
def test_the_service_uses_the_schema_that_was_migrated(
    shop_database, make_committing_app, monkeypatch, source
):
    options = {"URL": SEARCH_PATH, "repeated in the URL": ("-cgeqo=off", SEARCH_PATH)}
    url = shop_database
    if source in options:
        url = url.update_query_dict({"options": options[source]})
        url = config.parse_database_url(url.render_as_string(hide_password=False))
    else:
        monkeypatch.setenv("PGOPTIONS", SEARCH_PATH)
    migrations.upgrade_to_latest(url)
    client = make_committing_app(database_url=url).test_client()
    assert client.get("/readyz").status_code == 200
    assert client.post("/api/v2/ingredients", json={"name": "Mandrake"}).status_code == 201
    with db.create_unpooled_engine(shop_database).connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM shop.ingredients")) == 1


def session_settings(make_committing_app, url):
    make_committing_app(database_url=url)
    names = ("application_name", "TimeZone", "statement_timeout")
    columns = ", ".join(f"current_setting('{name}')" for name in names)
    [row] = db.fetch_autocommit(text(f"SELECT {columns}"))
    return tuple(row)


def test_the_url_can_name_the_application_but_not_replace_the_settings_of_the_service(
    make_committing_app, fresh_database
):
    options = "-cTimeZone=Asia/Tokyo -cstatement_timeout=0"
    url = fresh_database.update_query_dict({"options": options, "application_name": "till"})
    assert session_settings(make_committing_app, url) == ("till", "UTC", "30s")
    assert session_settings(make_committing_app, fresh_database)[0] == "alchemist"


def test_the_service_and_the_commands_use_the_host_that_accepts_writes(
    empty_database, make_committing_app, monkeypatch
):
    server = empty_database.translate_connect_args() | dict(empty_database.query)
    host, port = quote(server["host"], safe=""), server.get("port", 5432)
    user = f"{empty_database.username}:{quote(empty_database.password or '', safe='')}"
    hosts = f"127.0.0.1:{free_port()},{host}:{port}"
    url = f"postgresql://{user}@{hosts}/{empty_database.database}?target_session_attrs=read-write"
    monkeypatch.setenv("DATABASE_URL", url)
    for command in ("migrate", "verify"):
        result = CliRunner().invoke(main, [command])
        assert result.exit_code == 0, result.output
    client = make_committing_app(database_url=config.parse_database_url(url)).test_client()
    assert client.get("/readyz").status_code == 200
    assert client.post("/api/v2/ingredients", json={"name": "Mandrake"}).status_code == 201
