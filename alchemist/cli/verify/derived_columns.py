"""Derived columns that differ from their sources: plain SQL has written the row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Row,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    cast,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

import alchemist.app  # noqa: F401  registers every model
from alchemist import database as db

from .assertion import MAX_KEYS, Assertion

BATCH_SIZE = 1000


class WrongRows(NamedTuple):
    """Rows of a table with a wrong derived column: their keys and sources, and correct values."""

    table: Table
    rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]


def find_violations(connection: Connection) -> tuple[int, list[str]]:
    """Return how many rows are wrong, and the keys of the first ones."""
    count = 0
    keys: list[str] = []
    for table, rows in find_wrong_rows(connection):
        count += len(rows)
        first = rows[: MAX_KEYS - len(keys)]
        keys += [f"{table.name} {row['pk']}" for row, _values in first]
    return count, keys


def find_wrong_rows(connection: Connection) -> Iterator[WrongRows]:
    """Yield the wrong rows, of up to BATCH_SIZE rows at once."""
    for table in db.Base.metadata.sorted_tables:
        derived = list(filter(db.is_derived, table.c))
        if not derived:
            continue
        stored = connection.execute(
            _select_sources_and_derived(table, derived), execution_options={"yield_per": BATCH_SIZE}
        )
        for batch in stored.partitions():
            rows = [_with_derived_values(row, derived) for row in batch]
            wrong = [(row, values) for row, values in rows if _is_wrong(row, values, derived)]
            if wrong:
                yield WrongRows(table, wrong)


def _with_derived_values(
    row: Row[Any], derived: Sequence[Column[Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the row as it is stored, and the values that its derived columns must have."""
    stored = row._asdict()
    return stored, {each.name: db.derived_value(each, stored) for each in derived}


def _select_sources_and_derived(table: Table, derived: Sequence[Column[Any]]) -> Select[Any]:
    sources = [table.c[name] for name in _source_names(derived)]
    as_text = [cast(column, Text).label(column.name) for column in derived]
    return select(table.c.pk, *sources, *as_text).order_by(table.c.pk)


def _source_names(derived: Sequence[Column[Any]]) -> list[str]:
    return sorted({name for column in derived for name in db.derivation_sources(column)})


def _is_wrong(
    row: Mapping[str, Any], values: Mapping[str, str], derived: Sequence[Column[Any]]
) -> bool:
    """Return whether a derived column has another value; lexemes are compared in any order."""
    return any(
        set(row[each.name].split()) != set(values[each.name].split())
        if isinstance(each.type, TSVECTOR)
        else row[each.name] != values[each.name]
        for each in derived
    )


def recompute(connection: Connection) -> int:
    """Correct the wrong rows; return how many there were.

    A row whose sources have changed meanwhile is left alone: the service has corrected it.
    """
    count = 0
    for table, rows in find_wrong_rows(connection):
        derived = list(filter(db.is_derived, table.c))
        parameters = [
            {f"old_{name}": row[name] for name in ("pk", *_source_names(derived))}
            | {f"new_{name}": value for name, value in values.items()}
            for row, values in rows
        ]
        connection.execute(_update_derived(table, derived), parameters)
        count += len(rows)
    return count


def _update_derived(table: Table, derived: Sequence[Column[Any]]) -> Update:
    """Set derived columns, which no representation has: the row is not modified."""
    sources = [table.c[name] for name in _source_names(derived)]
    unchanged = [
        column.is_not_distinct_from(bindparam(f"old_{column.name}", type_=column.type))
        for column in sources
    ]
    values = {column.name: bindparam(f"new_{column.name}", type_=column.type) for column in derived}
    return (
        update(table)
        .where(table.c.pk == bindparam("old_pk", type_=table.c.pk.type), *unchanged)
        .values(updated_at=table.c.updated_at, **values)
    )


ASSERTIONS = [
    Assertion(
        "derived-columns",
        "Sort keys, search words and folded texts are those of the row's texts; "
        "`alchemist recompute-derived` corrects them.",
        find_violations,
    )
]
