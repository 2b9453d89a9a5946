"""Conditions on the rows of a list, and the indexes that serve them in the list's order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BinaryExpression,
    Boolean,
    Column,
    ColumnElement,
    Select,
    Table,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.sql.operators import between_op

from alchemist import db


def equal(column: Any, value: Any) -> ColumnElement[bool]:
    """Return the condition that a column has a value, as a range of one.

    With `=` PostgreSQL would drop the column from ORDER BY, and so be free to walk the whole table
    in the order of the keys, if it takes the value for frequent. See `lead`.
    """
    condition: ColumnElement[bool] = column.between(value, value)
    return condition


def has_words(vector: ColumnElement[Any], wanted: Any) -> ColumnElement[bool]:
    """Return the condition that every word of `wanted` stands in `vector`, in any order or case.

    All words are asked for twice, which finds the same rows. PostgreSQL takes a word that it knows
    nothing of for one in 200 rows, and would rather walk along the keys until it has met enough of
    those; of a word that is asked for twice, it expects so few that it looks them up.
    """
    query = func.plainto_tsquery(text("'simple'::regconfig"), wanted)
    return vector.op("@@", return_type=Boolean())(query.op("&&")(query))


def conditions(query: Select[Any]) -> list[ColumnElement[Any]]:
    """Return what must all be true of a row."""
    if query.whereclause is None:
        return []
    return list(getattr(query.whereclause, "clauses", [query.whereclause]))


@dataclass(frozen=True)
class Lead:
    """A filter on `column`, which begins an index that goes on with the `keys` of a list."""

    column: Column[Any]
    value: ColumnElement[Any]
    keys: list[Column[Any]]


def lead(query: Select[Any], names: Sequence[str]) -> Lead | None:
    """Return the first filter of a query that has an index in the order of the keys named.

    Rows that have one value in a column are in the same order by (column, keys) as by the keys,
    and only one index has that order: it leads from the beginning of a page to its end, whatever
    PostgreSQL believes of the rows. A walk in the order of the keys alone reads all orders ever
    placed for the few, the youngest, that are paid.
    """
    table = db.table(query.column_descriptions[0]["entity"])
    for condition in conditions(query):
        if isinstance(condition, BinaryExpression) and condition.operator is between_op:
            of = db.Base.metadata.tables[condition.left.table.name]
            keys = _keys(of, table, names)
            if _is_indexed(of, [condition.left.name, *(key.name for key in keys)]):
                return Lead(of.c[condition.left.name], condition.right.clauses[0], keys)
    return None


def _keys(of: Table, table: Table, names: Sequence[str]) -> list[Column[Any]]:
    """Return the columns `of` a table that have the values of `table`'s columns of these names."""
    if of is table:
        return [table.c[name] for name in names]
    return [column for column in of.c if list(names) == ["pk"] and column.references(table.c.pk)]


def _is_indexed(table: Table, names: list[str]) -> bool:
    """Return whether an index begins with these columns; the last, a tie-breaker, may be missing.

    But then it must have two of them: more than the filter.
    """
    found = [index for index in _indexes(table) if len(index) > 1]
    return any(index in (names, names[:-1]) for index in found)


def _indexes(table: Table) -> Iterator[list[str]]:
    for index in table.indexes:
        yield [getattr(column, "name", "") for column in index.expressions]
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield [column.name for column in constraint.columns]
