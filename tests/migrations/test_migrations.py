"""The migrations: there and back, also under rows, and to exactly what the models say."""

import alembic.command
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text
from uuid_utils.compat import uuid7

import alchemist.app  # noqa: F401  registers every model
from alchemist import database as db
from alchemist.cli import sample_data
from tests.schema_snapshot import counts, engine, schema


def upgrade(url, to="head"):
    alembic.command.upgrade(db.alembic_config(url), to)


def downgrade(url, to="base"):
    alembic.command.downgrade(db.alembic_config(url), to)


def test_there_is_one_head():
    scripts = ScriptDirectory.from_config(db.alembic_config(None))
    assert len(scripts.get_heads()) == 1


def test_migrations_build_what_the_models_describe(template, empty_database):
    db.Base.metadata.create_all(engine(empty_database))
    migrated, described = schema(template), schema(empty_database)
    assert {name: migrated.get(name) for name in described} == described
    assert migrated.keys() == described.keys()


def test_the_comparison_sees_columns_checks_and_indexes(template):
    found = schema(template)
    assert found["columns", "potion_ingredients.amount"][0] == "numeric(12,3)"
    assert (
        "amount > "
        in found["constraints", "potion_ingredients.potion_ingredients_amount_check"][-1]
    )
    assert "(name, pk)" in found["indexes", "potions_name_pk_idx"][0]


def test_each_migration_can_be_taken_back_and_made_again(empty_database):
    upgrade(empty_database)
    first = schema(empty_database)
    downgrade(empty_database)
    assert schema(empty_database) == {}
    upgrade(empty_database)
    assert schema(empty_database) == first


def test_there_are_no_native_enumerations(database):
    with engine(database).connect() as connection:
        named = connection.execute(text("SELECT typname FROM pg_type WHERE typtype = 'e'"))
        assert named.all() == []


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
    """A database with rows in all of its tables."""
    sample_data.load(fresh_database)
    headers = {"Idempotency-Key": "one"}
    client = make_committing_app().test_client()
    assert (
        client.post("/api/v2/heroes", json={"nickname": "Moss"}, headers=headers).status_code == 201
    )
    assert all(counts(fresh_database).values()), counts(fresh_database)
    return fresh_database


def test_each_migration_can_be_taken_back_and_made_again_under_rows(full_database):
    first, rows = schema(full_database), counts(full_database)
    for revision in REVISIONS:
        downgrade(full_database, "-1")
        kept = counts(full_database)
        assert kept.items() <= rows.items(), revision
    assert schema(full_database) == {}
    for _ in REVISIONS:
        upgrade(full_database, "+1")
    assert schema(full_database) == first
    assert not any(counts(full_database).values())


def test_a_percent_sign_in_the_url_does_no_harm(empty_database):
    upgrade(empty_database.update_query_dict({"application_name": "100%"}))
    assert schema(empty_database)


@pytest.mark.parametrize("table", ["ingredients", "potions"])
def test_a_plain_insert_needs_a_key_and_a_name_only(fresh_database, table):
    with engine(fresh_database).begin() as connection:
        plain = text(f"INSERT INTO {table} (pk, name) VALUES (:pk, 'Mandrake')")
        connection.execute(plain, {"pk": uuid7()})
        shown = text(f"SELECT version, created_at = updated_at, description FROM {table}")
        assert connection.execute(shown).one() == (1, True, None)
