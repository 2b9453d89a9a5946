"""PostgreSQL's timeouts hold, as options of each connection or as settings of the role."""

from uuid import uuid4

import pytest
from click.testing import CliRunner
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from alchemist.cli import main
from alchemist.database.session_limits import describe_missing_limits
from tests.pgbouncer import administer, needs_pgbouncer, pooled

NAMES = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "TimeZone")


@pytest.fixture
def role_url(fresh_database):
    """The URL of a role of this test, whose settings apply to no other test."""
    name = f"alchemist_test_{uuid4().hex}"
    engine = create_engine(fresh_database, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN SUPERUSER")
        connection.exec_driver_sql(
            f"ALTER DATABASE \"{fresh_database.database}\" SET timezone = 'Asia/Tokyo'"
        )
    yield fresh_database.set(username=name)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP ROLE {name}")


def set_limits(monkeypatch, url, **environment):
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(main, ["set-limits"])
    assert result.exit_code == 0, result.output
    return result.output


def session_settings():
    [row] = db.fetch_autocommit(
        text(f"SELECT {', '.join(f'current_setting({n!r})' for n in NAMES)}")
    )
    return tuple(row)


def readiness(make_committing_app, url, **settings):
    response = make_committing_app(database_url=url, **settings).test_client().get("/readyz")
    return response.status_code, response.json.get("detail")


def test_the_role_has_the_limits_after_the_command(monkeypatch, role_url, make_committing_app):
    timeouts = {"statement_timeout": 3.0, "lock_timeout": 1.5, "request_timeout": 5.0}
    limits = {"limits": "role", "pool_timeout": 1.0, **timeouts}
    status, detail = readiness(make_committing_app, role_url, **limits)
    assert (status, detail.partition(". ")[2]) == (503, "statement_timeout is 0, not 3000.")
    output = set_limits(monkeypatch, role_url, ALCHEMIST_STATEMENT_TIMEOUT="3")
    assert "statement_timeout = 3000 ms" in output
    assert readiness(make_committing_app, role_url, **limits) == (200, None)
    assert session_settings() == ("3s", "1500ms", "5s", "UTC")


def test_limits_of_the_connection_need_no_command(role_url, make_committing_app):
    assert readiness(make_committing_app, role_url) == (200, None)


def test_commands_have_no_limits(monkeypatch, role_url):
    set_limits(monkeypatch, role_url)
    query = text("SELECT current_setting('statement_timeout')")
    with db.create_unpooled_engine(role_url).connect() as connection:
        assert connection.scalar(query) == "0"
    with_options = role_url.update_query_dict({"options": "-cgeqo=off"})
    with db.create_unpooled_engine(with_options).connect() as connection:
        assert connection.scalar(query) == "4s"


@pytest.mark.parametrize(
    ("current", "is_missing"),
    [("4000", False), ("3999", False), ("4001", True), ("0", True), (None, True)],
)
def test_a_limit_holds_if_it_is_not_weaker(current, is_missing):
    settings = {} if current is None else {"statement_timeout": current}
    assert any(describe_missing_limits(settings, {"statement_timeout": "4000"})) is is_missing


@needs_pgbouncer
def test_limits_hold_behind_pgbouncer(monkeypatch, role_url, make_committing_app, tmp_path):
    """PgBouncer rejects options, or drops them silently: then `/readyz` notices it."""
    settings = {"prepared_statements": False}
    with pooled(role_url, tmp_path) as url:
        status, detail = readiness(make_committing_app, url, **settings)
        assert (status, detail) == (503, "The database does not answer.")
    with pooled(role_url, tmp_path, ignore_startup_parameters="options") as url:
        status, detail = readiness(make_committing_app, url, **settings)
        assert (status, "statement_timeout is 0" in detail) == (503, True)
    with pooled(role_url, tmp_path) as url:
        set_limits(monkeypatch, url, ALCHEMIST_LIMITS="role")
        administer(url, "RECONNECT")
        assert readiness(make_committing_app, url, limits="role", **settings) == (200, None)
        assert session_settings()[0] == "4s"
