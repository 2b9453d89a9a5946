"""No write escapes the audit log: every operation has an entry for each row that it changes."""

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.cli import sample_data
from alchemist.database import Base, Versioned
from tests.test_dry_runs import WRITING, example

# Its rows are the entries themselves.
TABLES = [
    mapper.class_.__tablename__
    for mapper in Base.registry.mappers
    if issubclass(mapper.class_, Versioned) and mapper.class_.__tablename__ != "audit_log"
]
# The parents and the foreign keys of child rows, whose changes are those of their parents.
CHILDREN = {
    each.mapper.class_.__tablename__: (
        each.parent.class_.__tablename__,
        next(iter(each.remote_side)).name,
    )
    for mapper in Base.registry.mappers
    for each in mapper.relationships
    if each.uselist
}
NEW_ENTRIES = text("SELECT resource, resource_pk FROM audit_log WHERE sequence > :sequence")
LAST_ENTRY = text("SELECT coalesce(max(sequence), 0) FROM audit_log")


@pytest.fixture
def shop(client):
    sample_data.insert_missing(db.session.connection())
    db.session.commit()
    return client


def rows():
    """Return the text of each row, by its table, its key, and for a child a part of the row."""
    found = {}
    for table in TABLES:
        for pk, row in db.session.execute(text(f'SELECT pk, t::text FROM "{table}" t')):
            found[table, pk, None] = row
    for table, (parent, key) in CHILDREN.items():
        for pk, row in db.session.execute(text(f'SELECT {key}, t::text FROM "{table}" t')):
            found[parent, pk, row] = row
    return found


def test_every_table_of_rows_or_children_is_compared():
    others = {"alembic_version", "audit_log", "compatible_revisions", "idempotency_keys"}
    assert {*TABLES, *CHILDREN} >= set(Base.metadata.tables) - others


@pytest.mark.parametrize("operation_id", WRITING)
def test_an_operation_has_an_entry_for_each_row_that_it_changes(shop, operation_id):
    request = example(shop, operation_id)
    before, sequence = rows(), db.session.scalar(LAST_ENTRY)
    response = shop.open(**request)
    assert 200 <= response.status_code < 300, response.text
    after = rows()
    changed = {key[:2] for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    entries = {tuple(entry) for entry in db.session.execute(NEW_ENTRIES, {"sequence": sequence})}
    assert changed - entries == set()
