"""Sample data of an example shop: rows with fixed primary keys, and their loader."""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import resources
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, Table, inspect, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import RelationshipProperty

import alchemist.app  # noqa: F401  registers every model
from alchemist.database import Base, create_unpooled_engine, table
from alchemist.domains.audit.models import AuditEntry
from alchemist.domains.coupons.models import Coupon, Redemption
from alchemist.domains.orders.models import Order

FILES = resources.files(__name__)
BATCH_SIZE = 10

Row = dict[str, Any]
Progress = Callable[[int, int], None]
# A table and the primary key of one of its rows.
Reference = tuple[Table, str]


class SampleTable(NamedTuple):
    """The model of the rows of one file, and the model of their child rows.

    `dependents` returns rows of later tables without which a row would be inconsistent.
    """

    model: type[Base]
    child_model: type[Base] | None = None
    children: Callable[[Row], Iterable[Row]] = lambda _row: ()
    dependents: Callable[[Row], Iterable[tuple["SampleTable", Row]]] = lambda _row: ()


def _sample_table(model: type[Base]) -> SampleTable:
    """Return the table of a model; the rows in its file list its child rows, if it has any."""
    for relationship in inspect(model).relationships:
        if relationship.uselist:
            children = partial(_child_rows, relationship)
            return SampleTable(model, relationship.mapper.class_, children)
    return SampleTable(model)


def _child_rows(relationship: RelationshipProperty[Any], parent: Row) -> Iterator[Row]:
    [(_, foreign_key)] = relationship.local_remote_pairs or ()
    for position, child in enumerate(parent[relationship.key]):
        values = _without_unknown_columns(relationship.mapper.class_, child)
        yield {**values, foreign_key.name: parent["pk"], "position": position}


def _redemption_rows(coupon: Row) -> Iterator[Row]:
    for redemption in coupon["redemptions"]:
        yield {**redemption, "coupon_id": coupon["pk"]}


def _orders_with_coupon(coupon: Row) -> Iterator[tuple[SampleTable, Row]]:
    """Yield the orders with a coupon: without all of them its remaining count would be wrong."""
    order_pks = {redemption["order_id"] for redemption in coupon["redemptions"]}
    for order in sample_rows("orders"):
        if order["pk"] in order_pks:
            yield SAMPLE_TABLES["orders"], order


# A coupon needs the rows to which its orders refer, and an order its redemption.
LAST_TABLES = {
    "coupons": SampleTable(Coupon, Redemption, _redemption_rows, _orders_with_coupon),
    "orders": _sample_table(Order),
    "audit_log": SampleTable(AuditEntry),
}
MODELS = {mapper.local_table: mapper.class_ for mapper in Base.registry.mappers}
# `<name>.json` has the rows of a table. A row may refer to rows of the tables before its own.
SAMPLE_TABLES = {
    each.name: _sample_table(MODELS[each])
    for each in Base.metadata.sorted_tables
    if (FILES / f"{each.name}.json").is_file() and each.name not in LAST_TABLES
} | LAST_TABLES


def sample_rows(table_name: str) -> list[Row]:
    """Return the sample rows of a table, in the order of their primary keys."""
    file = FILES / f"{table_name}.json"
    sample_rows: list[Row] = json.loads(file.read_text("utf-8"))
    return sample_rows


def ignore_progress(_done: int, _total: int) -> None:
    """Do nothing with the progress."""


def load_missing(url: URL, progress: Progress = ignore_progress) -> dict[str, int]:
    """Insert missing sample rows into a migrated database, in one transaction.

    Return the counts by table. Raise IntegrityError if a referenced row is deleted meanwhile: then
    call it again.
    """
    with create_unpooled_engine(url).begin() as connection:
        return insert_missing(connection, progress)


def insert_missing(connection: Connection, progress: Progress = ignore_progress) -> dict[str, int]:
    """Insert missing sample rows; return the counts by table.

    Existing rows do not change, and a row that refers to a missing row is skipped. `progress` is
    called after each batch with the numbers of processed and of all rows.
    """
    batches = list(_batches())
    added, done, total = dict.fromkeys(SAMPLE_TABLES, 0), 0, sum(len(batch) for _, batch in batches)
    for name, batch in batches:
        added[name] += _insert_batch(connection, SAMPLE_TABLES[name], batch)
        done += len(batch)
        progress(done, total)
    return added


def _batches() -> Iterator[tuple[str, list[Row]]]:
    for name in SAMPLE_TABLES:
        rows = sample_rows(name)
        for start in range(0, len(rows), BATCH_SIZE):
            yield name, rows[start : start + BATCH_SIZE]


def _insert_batch(connection: Connection, sample_table: SampleTable, batch: list[Row]) -> int:
    batch = _without_dangling_references(connection, sample_table, batch)
    if not batch:
        return 0
    values = [_without_unknown_columns(sample_table.model, row) for row in batch]
    # For a conflict on any column: another row may have the same e-mail address or nickname.
    statement = insert(sample_table.model).on_conflict_do_nothing()
    pks = connection.scalars(statement.returning(table(sample_table.model).c.pk), values)
    inserted = {str(pk) for pk in pks}
    # Only for inserted rows: the children of an existing row may have been edited.
    children = [
        child for row in batch if row["pk"] in inserted for child in sample_table.children(row)
    ]
    if sample_table.child_model and children:
        connection.execute(insert(sample_table.child_model), children)
    return len(inserted)


def _without_unknown_columns(model: type[Base], row: Row) -> Row:
    """Return the values of columns, without children and names that are only for readers."""
    return {name: row[name] for name in table(model).columns.keys() & row.keys()}


def _without_dangling_references(
    connection: Connection, sample_table: SampleTable, batch: list[Row]
) -> list[Row]:
    """Return the rows whose references exist.

    A sample user is missing if another user has their e-mail address. Then their heroes, stores and
    orders are skipped, too.
    """
    references = {row["pk"]: set(_outside_references(sample_table, row)) for row in batch}
    existing = _existing_references(connection, set().union(*references.values()))
    return [row for row in batch if references[row["pk"]] <= existing]


def _existing_references(connection: Connection, references: set[Reference]) -> set[Reference]:
    existing: set[Reference] = set()
    for target in {target for target, _ in references}:
        pks = [pk for table_, pk in references if table_ is target]
        query = select(target.c.pk).where(target.c.pk.in_(pks))
        existing |= {(target, str(key)) for key in connection.scalars(query)}
    return existing


def _outside_references(sample_table: SampleTable, row: Row) -> Iterator[Reference]:
    """Yield what a row, its children and its dependents refer to, except for each other."""
    models = (sample_table.model, sample_table.child_model)
    tables = {table(model) for model in models if model}
    references = [*_foreign_key_references(sample_table.model, row)]
    for child in sample_table.children(row):
        references += (
            _foreign_key_references(sample_table.child_model, child)
            if sample_table.child_model
            else ()
        )
    for dependent_table, dependent in sample_table.dependents(row):
        references += _outside_references(dependent_table, dependent)
    yield from (reference for reference in references if reference[0] not in tables)


def _foreign_key_references(model: type[Base], row: Row) -> Iterator[Reference]:
    for foreign_key in table(model).foreign_keys:
        if foreign_key.column.primary_key and (pk := row.get(foreign_key.parent.name)) is not None:
            yield foreign_key.column.table, pk
