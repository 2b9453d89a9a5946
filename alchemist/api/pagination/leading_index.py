"""The filters of a list, and the indexes that serve them in the sort order of the list."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Function,
    Select,
    Table,
    TableValuedAlias,
    UniqueConstraint,
    any_,
    cast,
    func,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.sql import operators

from alchemist import database as db

# The operators that bound the start of a range, by whether the sort is descending.
RANGE_START_OPERATORS = {False: (operators.ge, operators.gt), True: (operators.le, operators.lt)}


def conditions_of(query: Select[Any]) -> list[ColumnElement[Any]]:
    """Return the conditions of the query that are combined by AND."""
    if query.whereclause is None:
        return []
    return list(getattr(query.whereclause, "clauses", [query.whereclause]))


@dataclass(frozen=True)
class IndexPrefix:
    """An equality filter on the first column of an index.

    `keys` are the columns that follow it in the index, by the names of the sort keys. If the filter
    allows several values, `values` is a FROM clause with one row for each of them.
    """

    condition: ColumnElement[Any]
    column: Column[Any]
    value: ColumnElement[Any]
    keys: dict[str, Column[Any]]
    values: TableValuedAlias | None = None

    def as_any_equality(self) -> ColumnElement[bool]:
        """Return the filter as `column = ANY (ARRAY[value])`.

        With a plain `=`, PostgreSQL removes the column from ORDER BY, and may scan the whole table
        in key order if it estimates that the value is frequent.
        """
        return self.column == any_(array([self.value]))


def find_index_prefix(query: Select[Any], names: Sequence[str]) -> IndexPrefix | None:
    """Return the first equality filter with an index on its column and then the sort keys.

    Ordered by (column, keys), rows with one value in the column are in the order of the keys, and
    only that index has this order. So PostgreSQL must use it, whatever it estimates. In key order
    alone, it would read all orders ever placed to find the few recent ones that are paid.
    """
    table = db.table(query.column_descriptions[0]["entity"])
    for condition in conditions_of(query):
        column = _compared_column(condition, operators.eq)
        if column is not None:
            keys = _sort_columns(column, table, names)
            if _has_index_on([column, *keys.values()]):
                values = _any_values_as_rows(condition.right, column)
                value = condition.right if values is None else values.c["value"]
                return IndexPrefix(condition, column, value, keys, values)
    return None


def _any_values_as_rows(value: ColumnElement[Any], column: Column[Any]) -> TableValuedAlias | None:
    """Return the values of `ANY (array)` as rows, or None if `value` is another expression."""
    if not isinstance(value, Function) or value.name != "any":
        return None
    [values] = value.clauses
    return func.unnest(cast(values, ARRAY(column.type))).table_valued("value").render_derived()


def bounds_range_start(
    condition: ColumnElement[Any], column: Column[Any], *, descending: bool
) -> bool:
    """Return whether the condition bounds the column at the start of a list sorted by it."""
    return _compared_column(condition, *RANGE_START_OPERATORS[descending]) is column


def _compared_column(condition: Any, *allowed_operators: Any) -> Column[Any] | None:
    """Return the column that the condition compares with a value by one of the operators."""
    if getattr(condition, "operator", None) not in allowed_operators:
        return None
    table = getattr(condition.left, "table", None)
    return None if table is None else db.Base.metadata.tables[table.name].c[condition.left.name]


def _sort_columns(
    column: Column[Any], table: Table, names: Sequence[str]
) -> dict[str, Column[Any]]:
    """Return the columns to sort by after `column`, by the names of the sort keys of `table`."""
    if column.table is table:
        return {name: db.sort_column(table, name) for name in names if name != column.name}
    # The filter is on a joined table: only a sort by pk is possible, by the foreign key to it.
    foreign_keys = [each for each in column.table.c if each.references(table.c.pk)]
    return {"pk": foreign_keys[0]} if foreign_keys and list(names) == ["pk"] else {}


def _has_index_on(columns: Sequence[Column[Any]]) -> bool:
    """Return whether an index of two or more columns is on these, or on all but the last.

    The last one is the tie-breaker.
    """
    names = [column.name for column in columns]
    candidates = [index for index in _indexed_column_names(columns[0].table) if len(index) > 1]
    return any(index in (names, names[:-1]) for index in candidates)


def _indexed_column_names(table: Any) -> Iterator[list[str]]:
    for index in table.indexes:
        yield [getattr(column, "name", "") for column in index.expressions]
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield [column.name for column in constraint.columns]
