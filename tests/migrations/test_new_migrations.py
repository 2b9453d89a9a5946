"""A new migration is made from the models, and has the next number."""

import shutil
from pathlib import Path

import alembic.command
import pytest
from sqlalchemy import Column, Table

from alchemist import database as db
from alchemist.database.derived_columns import MAX_FOLDED_LENGTH, FoldedText


@pytest.fixture
def create_migration(database, tmp_path):
    """Return a function that creates a migration in a copy, and returns its file."""
    shutil.copytree(db.PROJECT_ROOT / "migrations", tmp_path / "migrations")
    config = db.alembic_config(database)
    config.set_main_option("script_location", str(tmp_path / "migrations"))

    def create(message, **options):
        return Path(alembic.command.revision(config, message, autogenerate=True, **options).path)

    return create


def test_a_migration_has_the_next_number(create_migration):
    number = int(db.latest_revision()) + 1
    assert create_migration("a test").name == f"{number:04}_a_test.py"


def test_a_migration_has_the_number_that_is_requested(create_migration):
    assert create_migration("a test", rev_id="9000").name == "9000_a_test.py"


def test_a_migration_is_empty_if_the_models_are_the_tables(create_migration):
    source = create_migration("nothing").read_text()
    assert source.count("    pass\n") == 2
    assert f'down_revision = "{db.latest_revision()}"' in source


def test_a_migration_creates_the_table_of_a_new_model(create_migration):
    """The type of a derived column is that of PostgreSQL: the code may change."""
    table = Table("spells", db.Base.metadata, Column("name_folded", FoldedText(), nullable=False))
    try:
        source = create_migration("spells").read_text()
    finally:
        db.Base.metadata.remove(table)
    assert 'op.create_table(\n        "spells",' in source
    assert f"sa.String(length={MAX_FOLDED_LENGTH}, collation=" in source
    assert 'op.drop_table("spells")' in source
    assert "alchemist" not in source
