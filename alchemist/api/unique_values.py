"""Which of many new rows have a unique value that another row has already."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Column, Integer, Select, Uuid, select

from alchemist import database as db
from alchemist.database import ConstraintError

# The values of rows of one model, by column.
Values = Sequence[Mapping[str, Any]]


class UniqueKey(NamedTuple):
    """The columns of a unique constraint, and the error of its violation."""

    columns: tuple[Column[Any], ...]
    error: ConstraintError


class TakenValue(NamedTuple):
    """The number of a row in a list of rows, and the key that another row has, too."""

    number: int
    key: UniqueKey


@cache
def _unique_keys(model: Any) -> list[UniqueKey]:
    """Return the unique constraints of a model that clients can violate."""
    return [
        UniqueKey(columns, error)
        for columns, error in db.unique_constraints(db.table(model))
        if "pk" not in {each.name for each in columns}
    ]


def _values_of_key(rows: Values, key: UniqueKey) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield the number and the values of each row that has a value in all columns of the key."""
    names = [each.name for each in key.columns]
    for number, row in enumerate(rows):
        values = tuple(row.get(name) for name in names)
        if None not in values:
            yield number, values


def find_repeated(model: Any, rows: Values) -> Iterator[tuple[TakenValue, int]]:
    """Yield each unique value that an earlier row has, with the number of that row."""
    for key in _unique_keys(model):
        first: dict[tuple[Any, ...], int] = {}
        for number, values in _values_of_key(rows, key):
            if first.setdefault(values, number) != number:
                yield TakenValue(number, key), first[values]


def find_taken(model: Any, rows: Values) -> Iterator[TakenValue]:
    """Yield each unique value that a stored row has whose `pk` is another."""
    for key in _unique_keys(model):
        own = [
            {"number": number, "pk": rows[number]["pk"]}
            | {each.name: value for each, value in zip(key.columns, values, strict=True)}
            for number, values in _values_of_key(rows, key)
        ]
        statement = _taken_statement(key.columns)
        for (number,) in db.session.execute(statement, {"own": db.to_json(own)}):
            yield TakenValue(number, key)


@cache
def _taken_statement(columns: tuple[Column[Any], ...]) -> Select[Any]:
    types: dict[str, Any] = {"number": Integer(), "pk": Uuid()}
    types |= {each.name: db.json_type(each.type) for each in columns}
    own, table = db.json_rows("own", types), columns[0].table
    are_equal = [each == own.c[each.name] for each in columns]
    return select(own.c.number).join_from(own, table, table.c.pk != own.c.pk).where(*are_equal)
