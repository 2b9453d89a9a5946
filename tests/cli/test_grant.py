"""`alchemist grant`: errors and warnings; `tests/test_access.py` uses the role that it makes."""

import logging
from time import monotonic, sleep
from uuid import uuid4

import pytest
from click.testing import CliRunner
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from alchemist.cli import main
from alchemist.database import privileges
from tests.servers import TIMEOUT


@pytest.fixture
def run(fresh_database, monkeypatch):
    """Return a function that runs a command on the database of this test, as any role."""
    bind = db.session.session_factory.kw.get("bind")

    def call(*arguments, url=fresh_database):
        monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        return CliRunner().invoke(main, arguments)

    yield call
    db.session.configure(bind=bind)


@pytest.fixture
def role(fresh_database):
    """The name of a role that does not exist, dropped at the end."""
    name = f"alchemist_test_{uuid4().hex}"
    yield name
    with create_engine(fresh_database, poolclass=NullPool).begin() as connection:
        exists = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)"
        if connection.scalar(text(exists), {"role": name}):
            connection.execute(text(f"DROP OWNED BY {name}"))
            connection.execute(text(f"DROP ROLE {name}"))


def test_it_needs_a_password_to_create_the_role(run, role):
    result = run("grant", role)
    assert result.exit_code == 1
    assert "SERVICE_PASSWORD" in result.output


def test_the_password_can_be_in_a_file(run, role, tmp_path, fresh_database, monkeypatch):
    file = tmp_path / "password"
    file.write_text("sword fish\n")
    monkeypatch.setenv("SERVICE_PASSWORD_FILE", str(file))
    assert run("grant", role).exit_code == 0
    digest = text("SELECT rolpassword FROM pg_authid WHERE rolname = :role")
    with create_engine(fresh_database, poolclass=NullPool).connect() as connection:
        assert connection.scalar(digest, {"role": role}).startswith("SCRAM-SHA-256$")
    file.write_text("")
    result = run("grant", role)
    assert result.exit_code == 1
    assert "SERVICE_PASSWORD_FILE: The file must have a value." in result.output


def test_it_can_be_repeated(run, role):
    for password in (["--password", "one"], ["--password", "two"], []):
        assert run("grant", role, *password).exit_code == 0


def test_the_owner_cannot_be_limited(run, fresh_database):
    with create_engine(fresh_database, poolclass=NullPool).connect() as connection:
        owner = connection.scalar(text("SELECT current_user"))
    result = run("grant", owner)
    assert result.exit_code == 1
    assert "rights of the owner" in result.output


def test_the_name_of_a_role_is_quoted(run, fresh_database, role):
    name = f'{role}"; DROP TABLE users; --'
    result = run("grant", name, "--password", "x")
    engine = create_engine(fresh_database, poolclass=NullPool)
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM users")) == 0
        if result.exit_code == 0:
            quoted = connection.dialect.identifier_preparer.quote_identifier(name)
            connection.exec_driver_sql(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")


def test_commands_of_the_owner_say_so(run, fresh_database, role):
    run("grant", role, "--password", "x")
    restricted = fresh_database.set(username=role, password="x")
    assert run("purge", url=restricted).exit_code == 0
    result = run("purge", "--audit-days", "1", url=restricted)
    assert result.exit_code == 1
    assert "Use the role that owns the tables" in result.output


def test_the_service_warns_if_its_role_may_change_the_audit_log(
    make_committing_app, run, fresh_database, role, caplog
):
    run("grant", role, "--password", "x")
    make_committing_app(database_url=fresh_database.set(username=role, password="x"))
    privileges.warn_if_audit_log_is_writable()
    assert caplog.records == []
    make_committing_app()
    privileges.warn_if_audit_log_is_writable()
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (logging.WARNING, privileges.WARNING)
    ]


def test_a_service_that_runs_as_the_owner_warns_once(gunicorn_with_auth):
    deadline = monotonic() + TIMEOUT
    while privileges.WARNING not in gunicorn_with_auth.log.read_text():
        assert monotonic() < deadline
        sleep(0.1)
    assert gunicorn_with_auth.request("GET", "/readyz").status == 200
    assert gunicorn_with_auth.log.read_text().count(privileges.WARNING) == 1
