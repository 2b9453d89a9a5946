"""/livez tells of the process, /readyz of what it needs."""

import pytest
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db


def execute(url, statement):
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(statement))


def test_the_process_lives_without_a_database(make_committing_app, fresh_database):
    client = make_committing_app(
        database_url=fresh_database.set(host="/nowhere", query={})
    ).test_client()
    assert (client.get("/livez").status_code, client.get("/livez").json["status"]) == (200, "ok")


def test_it_is_ready_at_the_migration_of_its_code(make_committing_app):
    answer = make_committing_app().test_client().get("/readyz")
    assert (answer.status_code, answer.json["migration"]) == (200, db.latest_revision())


def refused(answer):
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
    return True


def test_it_is_not_ready_while_the_database_is_gone(make_committing_app, fresh_database):
    gone = fresh_database.set(host="/nowhere", query={})
    assert refused(make_committing_app(database_url=gone).test_client().get("/readyz"))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = '9999', compatible_revisions = '{9999}'",
        "UPDATE alembic_version SET compatible_revisions = '{}'",
        "ALTER TABLE alembic_version DROP COLUMN compatible_revisions",
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
    ],
)
def test_it_is_not_ready_at_another_migration(make_committing_app, fresh_database, change):
    client = make_committing_app().test_client()
    assert client.get("/readyz").status_code == 200
    execute(fresh_database, change)
    assert refused(client.get("/readyz"))


def test_it_is_not_ready_before_the_first_migration(make_committing_app, empty_database):
    assert refused(make_committing_app(database_url=empty_database).test_client().get("/readyz"))


def test_it_is_ready_on_newer_tables_that_its_code_works_on(make_committing_app, fresh_database):
    newer = (
        "UPDATE alembic_version SET version_num = '9999',"
        " compatible_revisions = array_prepend('9999', compatible_revisions)"
    )
    execute(fresh_database, newer)
    response = make_committing_app().test_client().get("/readyz")
    assert (response.status_code, response.json["migration"]) == (200, "9999")


def test_it_is_ready_again_on_a_new_connection(make_committing_app, fresh_database):
    """As after a failover: the sessions of before are read-only, and there are no writes."""
    client = make_committing_app().test_client()
    [before] = db.fetch_autocommit(text("SELECT pg_backend_pid() AS pid"))
    db.fetch_autocommit(text("SELECT set_config('default_transaction_read_only', 'on', false)"))
    assert client.get("/readyz").status_code == 200
    assert db.fetch_autocommit(text("SELECT pg_backend_pid() AS pid")) != [before]


def test_it_is_not_ready_while_the_database_is_read_only(make_committing_app, fresh_database):
    execute(
        fresh_database,
        f"ALTER DATABASE {fresh_database.database} SET default_transaction_read_only = on",
    )
    assert refused(make_committing_app().test_client().get("/readyz"))
