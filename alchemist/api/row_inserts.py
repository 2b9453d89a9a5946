"""The values of new rows and of their children, and the CTEs that insert them."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import CTE, Column, ColumnElement, Table, exists, insert, inspect, select

from alchemist import database as db

# The values of rows by column: of the children of a row by their relationship.
Rows = list[dict[str, Any]]
RowsByRelationship = dict[str, Rows]
# The names of the columns, by the relationship; "inserted" is the row itself.
InsertShape = tuple[tuple[str, tuple[str, ...]], ...]


def insert_shape(rows: Rows, children: RowsByRelationship) -> InsertShape:
    return tuple(
        (name, _column_names(each)) for name, each in {"inserted": rows, **children}.items()
    )


def _column_names(rows: Rows) -> tuple[str, ...]:
    if len(rows) == 1:
        return tuple(rows[0])
    return tuple(sorted(set().union(*rows)))


def merge_children(children_of_rows: Iterable[RowsByRelationship]) -> RowsByRelationship:
    """Return the children of all rows, by their relationship."""
    by_relationship: RowsByRelationship = {}
    for children in children_of_rows:
        for name, rows in children.items():
            by_relationship.setdefault(name, []).extend(rows)
    return by_relationship


def set_or_default_values(row: Any) -> dict[str, Any]:
    """Return the values that were set, and those that Python makes for the other columns."""
    given = vars(row)
    return {
        name: given[name] if name in given else _derived_or_default_value(column, given)
        for name, column in _columns(row.__class__).items()
        if name in given or column.default is not None
    }


@cache
def _columns(model: Any) -> dict[str, Column[Any]]:
    """Return the columns by their names; SQLAlchemy takes 20 times as long to go through them."""
    return {column.name: column for column in db.table(model).c}


def _derived_or_default_value(column: Column[Any], values: Mapping[str, Any]) -> Any:
    """Return the value of a column that was not set: derived from others, or its default."""
    if db.is_derived(column):
        return db.derived_value(column, values)
    default: Any = column.default
    return default.arg(None) if default.is_callable else default.arg


@cache
def audited_field_names(model: Any, names: tuple[str, ...]) -> list[str]:
    """Return the sorted names without those in every row, and those that Python derives."""
    derived = {each.name for each in db.table(model).columns if db.is_derived(each)}
    return sorted({*names} - derived - {"pk", "created_at"})


def children_insert_ctes(
    model: Any, inserted: CTE, children: Sequence[tuple[str, tuple[str, ...]]]
) -> dict[Any, CTE]:
    """Return the statements that insert children if rows were `inserted`, by their models."""
    ctes = {}
    for key, names in children:
        child = inspect(model).relationships[key].mapper.class_
        values = db.json_row_values(key, db.table(child), names)
        was_inserted = exists(select(inserted))
        ctes[child] = insert_cte(db.table(child), f"inserted_{key}", values, was_inserted)
    return ctes


def insert_cte(
    table: Table, name: str, values: dict[str, ColumnElement[Any]], *conditions: ColumnElement[bool]
) -> CTE:
    """Return the CTE that inserts the rows of the values, if the conditions hold."""
    rows = select(*values.values()).where(*conditions)
    statement = insert(table).from_select(list(values), rows, include_defaults=False)
    return statement.returning(*table.c).cte(name)
