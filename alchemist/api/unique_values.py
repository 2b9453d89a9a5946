"""Which of many new rows have a unique value that another row has already."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Column, Integer, Select, Uuid, inspect, select

from alchemist import database as db
from alchemist.database import ConstraintError

from .row_inserts import set_or_default_value


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


def _model(rows: Sequence[Any]) -> Any:
    return type(rows[0])


def _values(rows: Sequence[Any], key: UniqueKey) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield the number and the values of each row that has a value in all columns of the key.

    A column that was not loaded was not changed either.
    """
    for number, row in enumerate(rows):
        is_stored = inspect(row).has_identity
        values = tuple(
            vars(row).get(each.name) if is_stored else set_or_default_value(row, each)
            for each in key.columns
        )
        if None not in values:
            yield number, values


def find_repeated(rows: Sequence[Any]) -> Iterator[tuple[TakenValue, int]]:
    """Yield each unique value that an earlier row of the list has, with the number of that row."""
    for key in _unique_keys(_model(rows)):
        first: dict[tuple[Any, ...], int] = {}
        for number, values in _values(rows, key):
            if first.setdefault(values, number) != number:
                yield TakenValue(number, key), first[values]


def find_taken(rows: Sequence[Any]) -> Iterator[TakenValue]:
    """Yield each unique value of a row that a stored row other than itself has."""
    for key in _unique_keys(_model(rows)):
        numbered = list(_values(rows, key))
        arrays = {
            "number": [number for number, _ in numbered],
            "pk": [rows[number].pk for number, _ in numbered],
            **{
                each.name: [values[index] for _, values in numbered]
                for index, each in enumerate(key.columns)
            },
        }
        statement = _taken_statement(key.columns)
        for (number,) in db.session.execute(statement, db.array_parameters("own", arrays)):
            yield TakenValue(number, key)


@cache
def _taken_statement(columns: tuple[Column[Any], ...]) -> Select[Any]:
    types: dict[str, Any] = {"number": Integer(), "pk": Uuid()}
    types |= {each.name: db.array_item_type(each.type) for each in columns}
    own, table = db.unnest("own", types), columns[0].table
    are_equal = [each == own.c[each.name] for each in columns]
    return select(own.c.number).join_from(own, table, table.c.pk != own.c.pk).where(*are_equal)
