"""`alchemist token`: create, list and revoke tokens."""

import re
from time import sleep
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from alchemist.cli import main
from alchemist.domains.users import auth, token_format
from tests.servers import Gunicorn

ADA = "ada@alchemist.example"


@pytest.fixture
def run_token(fresh_database, monkeypatch) -> Any:
    """Return a function that runs `alchemist token` on the database of this test."""
    bind = db.session.session_factory.kw.get("bind")
    monkeypatch.setenv("DATABASE_URL", fresh_database.render_as_string(hide_password=False))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["token", *arguments])

    yield run
    db.session.configure(bind=bind)


@pytest.fixture
def query(fresh_database) -> Any:
    engine = create_engine(fresh_database, poolclass=NullPool)

    def run(statement: str) -> list[tuple[Any, ...]]:
        with engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    return run


def test_create_adds_an_admin_and_prints_the_secret_once(run_token, query):
    result = run_token("create", "--email", "Ada@Alchemist.example", "--role", "admin")
    assert result.exit_code == 0, result.output
    assert token_format.is_well_formed(result.stdout.strip())
    assert query("SELECT email, role FROM users") == [(ADA, "admin")]
    assert query("SELECT digest FROM tokens") == [(token_format.digest(result.stdout.strip()),)]
    assert result.stdout.strip() not in run_token("list").output


def test_a_token_is_accepted_until_it_is_revoked(run_token, fresh_database, tmp_path):
    secret = run_token("create", "--email", ADA, "--role", "admin").stdout.strip()
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_OPEN_ACCESS="false") as server:
        bearer = {"Authorization": f"Bearer {secret}"}
        assert server.request("GET", "/api/v2/me", **bearer).status == 200
        [pk] = re.findall(r"^[0-9a-f-]{36}", run_token("list").output, re.MULTILINE)
        assert run_token("revoke", pk).exit_code == 0
        # The workers are other processes: their token caches expire after a second.
        statuses = {server.request("GET", "/api/v2/me", **bearer).status for _ in range(3)}
        assert statuses <= {200, 401}
        sleep(auth.TOKEN_CACHE_TTL + 0.1)
        assert server.request("GET", "/api/v2/me", **bearer).status == 401


def test_create_restricts_the_token_to_permissions(run_token, query):
    options = ("--permission", "me:read", "--permission", "audit:read")
    assert run_token("create", "--email", ADA, "--role", "admin", *options).exit_code == 0
    assert query("SELECT permissions FROM tokens") == [(["audit:read", "me:read"],)]


def test_create_requires_a_role_only_for_a_new_user(run_token, query):
    assert "--role" in run_token("create", "--email", ADA).output
    assert query("SELECT count(*) FROM users") == [(0,)]
    assert run_token("create", "--email", ADA, "--role", "customer").exit_code == 0
    assert run_token("create", "--email", ADA).exit_code == 0
    result = run_token("create", "--email", ADA, "--role", "admin")
    assert result.exit_code == 1
    assert "the role customer" in result.output
    assert query("SELECT count(*) FROM tokens") == [(2,)]


def test_create_rejects_an_invalid_address(run_token):
    assert run_token("create", "--email", "ada").exit_code == 2


def test_list_shows_the_state_and_filters_by_user(run_token):
    run_token("create", "--email", ADA, "--role", "admin", "--label", "till")
    run_token("create", "--email", "bob@alchemist.example", "--role", "customer")
    assert "till" in run_token("list").output
    assert "bob" not in run_token("list", "--email", ADA).output
    [pk] = re.findall(r"^[0-9a-f-]{36}", run_token("list", "--email", ADA).output, re.MULTILINE)
    run_token("revoke", pk)
    assert "revoked" in run_token("list", "--email", ADA).output


def test_list_has_a_header_and_the_last_use(run_token, query):
    run_token("create", "--email", ADA, "--role", "admin", "--permission", "me:read")
    used = query("UPDATE tokens SET last_used_at = '2026-11-20 07:15Z' RETURNING 1")
    assert used == [(1,)]
    header, line = run_token("list").stdout.splitlines()
    for name, value in {
        "STATE": "until",
        "LAST USED": "2026-11-20 07:15Z",
        "ROLE": "admin",
        "EMAIL": ADA,
        "PERMISSIONS": "me:read",
    }.items():
        assert line[header.index(name) :].startswith(value)


CONTROLS = "\x1b[2J\x9b\u202e\u200b\u2028\n"


def test_no_text_of_a_row_controls_the_terminal(run_token):
    run_token("create", "--email", ADA, "--role", "admin", "--label", f"a{CONTROLS}b")
    output = run_token("list").stdout
    assert len(output.splitlines()) == 2
    assert all(line.isprintable() for line in output.splitlines())
    assert r"\x1b[2J\x9b\u202e\u200b\u2028\n" in output


def test_revoke_reports_an_unknown_token(run_token):
    result = run_token("revoke", "01935f2e-7c1a-7b3e-9d3c-0123456789ab")
    assert result.exit_code == 1
    assert "There is no token" in result.output


def test_changes_are_in_the_audit_log(run_token, query):
    run_token("create", "--email", ADA, "--role", "admin")
    entries = query("SELECT resource, action, user_id, request_id FROM audit_log ORDER BY pk")
    assert entries == [("users", "create", None, None), ("tokens", "create", None, None)]
