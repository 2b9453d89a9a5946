"""Conditions on the rows of a list, and the indexes that serve them in the list's order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Table,
    UniqueConstraint,
    any_,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.sql import operators

from alchemist import database as db

# How a condition bounds a column where a list begins: one that ascends, and one that descends.
RANGE_START_OPERATORS = {False: (operators.ge, operators.gt), True: (operators.le, operators.lt)}


def where_clauses(query: Select[Any]) -> list[ColumnElement[Any]]:
    """Return what must all be true of a row."""
    if query.whereclause is None:
        return []
    return list(getattr(query.whereclause, "clauses", [query.whereclause]))


@dataclass(frozen=True)
class IndexPrefix:
    """A condition that a column has a value, and the keys that follow it in an index."""

    condition: ColumnElement[Any]
    column: Column[Any]
    value: ColumnElement[Any]
    keys: dict[str, Column[Any]]

    def one_of(self) -> ColumnElement[bool]:
        """Return the condition that the column has one of a single value.

        With a mere `=` PostgreSQL would drop the column from ORDER BY, and be free to walk all of
        the table in the order of the keys if it takes the value for frequent.
        """
        return self.column == any_(array([self.value]))


def find_index_prefix(query: Select[Any], names: Sequence[str]) -> IndexPrefix | None:
    """Return the first condition of a query with an index in the order of the keys named.

    Rows that have one value in a column are in the same order by (column, keys) as by the keys,
    and only one index has that order: it leads from the beginning of a page to its end, whatever
    PostgreSQL believes of the rows. A walk in the order of the keys alone reads all orders ever
    placed for the few, the youngest, that are paid.
    """
    table = db.table(query.column_descriptions[0]["entity"])
    for condition in where_clauses(query):
        column = _compared_column(condition, operators.eq)
        if column is not None:
            keys = _sort_columns(column, table, names)
            if _has_index([column, *keys.values()]):
                return IndexPrefix(condition, column, condition.right, keys)
    return None


def bounds_range_start(
    condition: ColumnElement[Any], column: Column[Any], *, descending: bool
) -> bool:
    """Return whether a condition bounds a column where a list begins that is sorted by it."""
    return _compared_column(condition, *RANGE_START_OPERATORS[descending]) is column


def _compared_column(condition: Any, *wanted: Any) -> Column[Any] | None:
    """Return the column that a condition compares with a value by one of some operators."""
    if getattr(condition, "operator", None) not in wanted:
        return None
    table = getattr(condition.left, "table", None)
    return None if table is None else db.Base.metadata.tables[table.name].c[condition.left.name]


def _sort_columns(
    column: Column[Any], table: Table, names: Sequence[str]
) -> dict[str, Column[Any]]:
    """Return what is to follow a column, by the names of the columns that `table` is sorted by.

    Another table can only be sorted as this one is by its key: by what refers to that.
    """
    if column.table is table:
        return {name: table.c[name] for name in names if name != column.name}
    own = [own for own in column.table.c if own.references(table.c.pk)]
    return {"pk": own[0]} if own and list(names) == ["pk"] else {}


def _has_index(columns: Sequence[Column[Any]]) -> bool:
    """Return whether an index begins with these columns; the last, a tie-breaker, may be missing.

    But then it must have two of them: more than the filter.
    """
    names = [column.name for column in columns]
    found = [index for index in _indexes(columns[0].table) if len(index) > 1]
    return any(index in (names, names[:-1]) for index in found)


def _indexes(table: Any) -> Iterator[list[str]]:
    for index in table.indexes:
        yield [getattr(column, "name", "") for column in index.expressions]
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield [column.name for column in constraint.columns]
