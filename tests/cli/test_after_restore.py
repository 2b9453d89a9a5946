"""`alchemist revocations` and `after-restore`, with a database and a copy made before changes."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from alchemist.cli import main
from alchemist.cli.operator_session import operator_session
from alchemist.domains.stores import service as stores
from alchemist.domains.users import service, token_service
from alchemist.domains.users.models import User
from tests.databases import temporary_database
from tests.factories import make_store, make_token, make_user

STATES = text("""
    SELECT full_name, suspended_at IS NOT NULL, count(tokens) FILTER (WHERE revoked_at IS NULL)
    FROM users LEFT JOIN tokens ON user_id = users.pk GROUP BY users.pk ORDER BY users.pk
""")


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs a command on a database."""
    bind = db.session.session_factory.kw.get("bind")

    def call(url, *arguments):
        monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        return CliRunner().invoke(main, arguments)

    yield call
    db.session.configure(bind=bind)


@pytest.fixture
def backup(fresh_database, database_server):
    """A copy of the database from before two tokens were revoked and four users changed."""
    with operator_session(fresh_database):
        names = ("stays", "revoked", "suspended", "anonymised", "deleted", "last admin")
        users = {name: make_user(full_name=name) for name in names}
        users["last admin"].role = "admin"
        for user in users.values():
            make_token(user)
        make_store(owner_id=users["anonymised"].pk, phone="+32 2 555 0100")
        pks = {name: user.pk for name, user in users.items()}
    with temporary_database(database_server, fresh_database) as url:
        with operator_session(fresh_database):
            make_user(role="admin")
            users = {name: db.session.get(User, pk) for name, pk in pks.items()}
            token_service.revoke_all_tokens(users["revoked"])
            service.suspend(users["suspended"])
            service.anonymise(users["anonymised"])
            service.delete(users["deleted"])
            service.anonymise(users["last admin"])
        yield url


def states(url):
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return [tuple(row) for row in connection.execute(STATES)]


def since(**ago):
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


@pytest.fixture
def revocations(run, fresh_database, tmp_path):
    def write():
        file = tmp_path / "alchemist.revocations"
        file.write_text(run(fresh_database, "revocations").stdout)
        return str(file)

    return write


def test_a_restored_backup_forgets_and_revokes_again(run, backup, revocations):
    result = run(backup, "after-restore", "--since", since(hours=1), revocations())
    assert result.exit_code == 0, result.output
    assert states(backup) == [
        ("stays", False, 1),
        ("revoked", False, 0),
        ("suspended", True, 1),
        ("Anonymous", False, 0),
        ("Anonymous", False, 0),
        ("Anonymous", False, 0),
    ]
    with create_engine(backup, poolclass=NullPool).connect() as connection:
        assert connection.scalar(text("SELECT phone FROM stores")) is None
    # It may be run again.
    assert run(backup, "after-restore", "--since", since(hours=1), revocations()).exit_code == 0


def test_what_was_revoked_before_the_backup_is_left_out(run, backup, revocations):
    before = states(backup)
    assert run(backup, "after-restore", "--since", since(hours=-1), revocations()).exit_code == 0
    assert states(backup) == before


def test_without_a_list_all_tokens_of_the_backup_are_revoked(run, backup):
    result = run(backup, "after-restore", "--since", since())
    assert "6 tokens revoked." in result.output
    assert {row[2] for row in states(backup)} == {0}


@pytest.mark.parametrize("line", ["x", "2026-01-01 revoke-token 1", "2026-01-01T00:00Z eat 0"])
def test_another_file_is_an_error_with_its_line(run, backup, tmp_path, line):
    file = tmp_path / "other"
    file.write_text(f"{line}\n")
    before = states(backup)
    result = run(backup, "after-restore", "--since", since(), str(file))
    assert result.exit_code == 1
    assert f"{file}, line 1" in result.output
    assert states(backup) == before


def test_the_list_has_no_personal_data(run, fresh_database, backup):
    output = run(fresh_database, "revocations").stdout
    assert len(output.splitlines()) == 8
    assert "@" not in output
    assert stores.clear_contacts in service.on_anonymise


@pytest.mark.parametrize("value", ["yesterday", "2026-11-20T02:00:00", "2026-11-20"])
def test_the_time_of_the_backup_needs_an_offset(run, fresh_database, value):
    assert run(fresh_database, "after-restore", "--since", value).exit_code == 2
