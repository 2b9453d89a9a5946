"""The migrations: up and down, with and without rows, and to the schema of the models."""

import alembic.command
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text
from uuid_utils.compat import uuid7

import alchemist.app  # noqa: F401  registers every model
from alchemist import database as db
from alchemist.cli import sample_data
from tests.schema_snapshot import counts, engine, schema


def upgrade(url, revision="head"):
    alembic.command.upgrade(db.alembic_config(url), revision)


def downgrade(url, revision="base"):
    alembic.command.downgrade(db.alembic_config(url), revision)


def test_there_is_one_head():
    scripts = ScriptDirectory.from_config(db.alembic_config(None))
    assert len(scripts.get_heads()) == 1


def test_migrations_create_the_schema_of_the_models(template, empty_database):
    db.Base.metadata.create_all(engine(empty_database))
    migrated, declared = schema(template), schema(empty_database)
    assert {name: migrated.get(name) for name in declared} == declared
    assert migrated.keys() == declared.keys()


def test_the_snapshot_contains_columns_checks_and_indexes(template):
    snapshot = schema(template)
    assert snapshot["columns", "potion_ingredients.amount"][0] == "numeric(12,3)"
    assert (
        "amount > "
        in snapshot["constraints", "potion_ingredients.potion_ingredients_amount_check"][-1]
    )
    assert "(name, pk)" in snapshot["indexes", "potions_name_pk_idx"][0]


def test_downgrade_and_upgrade_restore_the_schema(empty_database):
    upgrade(empty_database)
    before = schema(empty_database)
    downgrade(empty_database)
    assert schema(empty_database) == {}
    upgrade(empty_database)
    assert schema(empty_database) == before


def test_there_are_no_native_enumerations(database):
    with engine(database).connect() as connection:
        enums = connection.execute(text("SELECT typname FROM pg_type WHERE typtype = 'e'"))
        assert enums.all() == []


def test_a_second_upgrade_changes_nothing(fresh_database):
    before = schema(fresh_database)
    upgrade(fresh_database)
    assert schema(fresh_database) == before


REVISIONS = [
    script.revision
    for script in ScriptDirectory.from_config(db.alembic_config(None)).walk_revisions()
]


@pytest.fixture
def full_database(fresh_database, make_committing_app):
    """A database with rows in every table."""
    sample_data.load_missing(fresh_database)
    headers = {"Idempotency-Key": "one"}
    client = make_committing_app().test_client()
    assert (
        client.post("/api/v2/heroes", json={"nickname": "Moss"}, headers=headers).status_code == 201
    )
    assert all(counts(fresh_database).values()), counts(fresh_database)
    return fresh_database


def test_each_migration_can_be_reverted_and_repeated_with_rows(full_database):
    before, row_counts = schema(full_database), counts(full_database)
    for revision in REVISIONS:
        downgrade(full_database, "-1")
        assert counts(full_database).items() <= row_counts.items(), revision
    assert schema(full_database) == {}
    for _ in REVISIONS:
        upgrade(full_database, "+1")
    assert schema(full_database) == before
    assert not any(counts(full_database).values())


def test_the_url_may_contain_a_percent_sign(empty_database):
    upgrade(empty_database.update_query_dict({"application_name": "100%"}))
    assert schema(empty_database)


@pytest.mark.parametrize("table", ["ingredients", "potions"])
def test_an_insert_requires_only_a_key_and_a_name(fresh_database, table):
    with engine(fresh_database).begin() as connection:
        statement = text(f"INSERT INTO {table} (pk, name) VALUES (:pk, 'Mandrake')")
        connection.execute(statement, {"pk": uuid7()})
        query = text(f"SELECT version, created_at = updated_at, description FROM {table}")
        assert connection.execute(query).one() == (1, True, None)
