"""Which of many rows have a unique value that another row has, too."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Column, Integer, Select, Uuid, bindparam, func, select

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
    needed = {column.name for column in key.columns if not db.is_derived(column)}
    for number, row in enumerate(rows):
        if not needed <= row.keys():
            continue
        values = tuple(_value(column, row) for column in key.columns)
        if None not in values:
            yield number, values


def _value(column: Column[Any], row: Mapping[str, Any]) -> Any:
    """Return the value of a column; a derived one is not loaded with its row."""
    return db.derived_value(column, row) or None if db.is_derived(column) else row.get(column.name)


def find_repeated_values(model: Any, rows: Values) -> Iterator[tuple[TakenValue, int]]:
    """Yield each unique value that an earlier row has, with the number of that row."""
    for key in _unique_keys(model):
        first: dict[tuple[Any, ...], int] = {}
        for number, values in _values_of_key(rows, key):
            if first.setdefault(values, number) != number:
                yield TakenValue(number, key), first[values]


def find_taken_values(model: Any, rows: Values) -> Iterator[TakenValue]:
    """Yield each unique value that a stored row has that is none of these."""
    pks = [row["pk"] for row in rows]
    for key in _unique_keys(model):
        own = [
            {"number": number}
            | {each.name: value for each, value in zip(key.columns, values, strict=True)}
            for number, values in _values_of_key(rows, key)
        ]
        parameters = {"own": db.to_json(own), "pks": pks}
        for (number,) in db.session.execute(_select_taken_numbers(key.columns), parameters):
            yield TakenValue(number, key)


@cache
def _select_taken_numbers(columns: tuple[Column[Any], ...]) -> Select[Any]:
    types = {"number": Integer()} | {each.name: db.json_type(each.type) for each in columns}
    own, table = db.json_rows("own", types), columns[0].table
    are_equal = [each == own.c[each.name] for each in columns]
    is_other = table.c.pk != func.all(bindparam("pks", type_=ARRAY(Uuid())))
    return select(own.c.number).join_from(own, table, is_other).where(*are_equal)


def find_exchanged(model: Any, before: Values, after: Values) -> dict[str, list[UUID]]:
    """Return the rows with a unique value that another of the rows gets, by column.

    `before` and `after` are the values of stored rows before and after their update.
    """
    exchanged: dict[str, list[UUID]] = {}
    for key in _unique_keys(model):
        new = dict(_values_of_key(after, key))
        former = {values: n for n, values in _values_of_key(before, key) if new.get(n) != values}
        if numbers := [former[values] for values in former.keys() & set(new.values())]:
            exchanged[key.columns[-1].name] = [after[number]["pk"] for number in numbers]
    return exchanged
