"""`alchemist token`, as an operator meets it."""

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
def alchemist(fresh_database, monkeypatch) -> Any:
    """Return what runs the command on a database of this test."""
    bound = db.session.session_factory.kw.get("bind")
    monkeypatch.setenv("DATABASE_URL", fresh_database.render_as_string(hide_password=False))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["token", *arguments])

    yield run
    db.session.configure(bind=bound)


@pytest.fixture
def rows(fresh_database) -> Any:
    engine = create_engine(fresh_database, poolclass=NullPool)

    def ask(statement: str) -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    return ask


def test_create_makes_the_first_admin_and_shows_the_secret_once(alchemist, rows):
    result = alchemist("create", "--email", "Ada@Alchemist.example", "--role", "admin")
    assert result.exit_code == 0, result.output
    assert token_format.is_well_formed(result.stdout.strip())
    assert rows("SELECT email, role FROM users") == [(ADA, "admin")]
    assert rows("SELECT digest FROM tokens") == [(token_format.digest(result.stdout.strip()),)]
    assert result.stdout.strip() not in alchemist("list").output


def test_what_it_makes_opens_the_service(alchemist, fresh_database, tmp_path):
    secret = alchemist("create", "--email", ADA, "--role", "admin").stdout.strip()
    with Gunicorn(fresh_database, tmp_path, ALCHEMIST_OPEN_ACCESS="false") as server:
        bearer = {"Authorization": f"Bearer {secret}"}
        assert server.request("GET", "/api/v2/me", **bearer).status == 200
        [pk] = re.findall(r"^[0-9a-f-]{36}", alchemist("list").output, re.MULTILINE)
        assert alchemist("revoke", pk).exit_code == 0
        # Another process tree: the workers look again after a second.
        statuses = {server.request("GET", "/api/v2/me", **bearer).status for _ in range(3)}
        assert statuses <= {200, 401}
        sleep(auth.TOKEN_CACHE_TTL + 0.1)
        assert server.request("GET", "/api/v2/me", **bearer).status == 401


def test_create_narrows_to_permissions(alchemist, rows):
    narrow = ("--permission", "me:read", "--permission", "audit:read")
    assert alchemist("create", "--email", ADA, "--role", "admin", *narrow).exit_code == 0
    assert rows("SELECT permissions FROM tokens") == [(["audit:read", "me:read"],)]


def test_create_needs_a_role_for_a_new_user_only(alchemist, rows):
    assert "--role" in alchemist("create", "--email", ADA).output
    assert rows("SELECT count(*) FROM users") == [(0,)]
    assert alchemist("create", "--email", ADA, "--role", "customer").exit_code == 0
    assert alchemist("create", "--email", ADA).exit_code == 0
    refused = alchemist("create", "--email", ADA, "--role", "admin")
    assert refused.exit_code == 1
    assert "as customer" in refused.output
    assert rows("SELECT count(*) FROM tokens") == [(2,)]


def test_create_refuses_what_is_no_address(alchemist):
    assert alchemist("create", "--email", "ada").exit_code == 2


def test_list_tells_good_tokens_from_others(alchemist):
    alchemist("create", "--email", ADA, "--role", "admin", "--label", "till")
    alchemist("create", "--email", "bob@alchemist.example", "--role", "customer")
    assert "till" in alchemist("list").output
    assert "bob" not in alchemist("list", "--email", ADA).output
    [pk] = re.findall(r"^[0-9a-f-]{36}", alchemist("list", "--email", ADA).output, re.MULTILINE)
    alchemist("revoke", pk)
    assert "revoked" in alchemist("list", "--email", ADA).output


def test_revoke_says_when_there_is_no_such_token(alchemist):
    refused = alchemist("revoke", "01935f2e-7c1a-7b3e-9d3c-0123456789ab")
    assert refused.exit_code == 1
    assert "There is no token" in refused.output


def test_its_changes_are_in_the_audit_log(alchemist, rows):
    alchemist("create", "--email", ADA, "--role", "admin")
    told = rows("SELECT resource, action, user_id, request_id FROM audit_log ORDER BY pk")
    assert told == [("users", "create", None, None), ("tokens", "create", None, None)]
