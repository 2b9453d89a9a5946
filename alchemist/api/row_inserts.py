"""The values of new rows and of their children, and the CTEs that insert them."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import CTE, Column, ColumnElement, Table, exists, insert, inspect, select

from alchemist import database as db

# The parents' keys and the values of their children, by relationship: see `db.child_values`.
ChildrenByRelationship = dict[str, list[dict[str, Any]]]


def column_names(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of the columns that any of the rows has a value for."""
    return tuple(rows[0]) if len(rows) == 1 else tuple(sorted(set().union(*rows)))


def merge_children(
    children_of_rows: Iterable[Mapping[str, dict[str, Any]]],
) -> ChildrenByRelationship:
    """Return the children of all rows, by their relationship."""
    by_relationship: ChildrenByRelationship = {}
    for children_of_row in children_of_rows:
        for name, children in children_of_row.items():
            by_relationship.setdefault(name, []).append(children)
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


def children_insert_ctes(model: Any, inserted: CTE, relationships: Sequence[str]) -> dict[Any, CTE]:
    """Return the statements that insert children if rows were `inserted`, by their models."""
    ctes = {}
    for name in relationships:
        children = db.children_of_relationship(model, name)
        values, was_inserted = db.child_values(children, name), exists(select(inserted))
        child = inspect(model).relationships[name].mapper.class_
        ctes[child] = insert_cte(children.table, f"inserted_{name}", values, was_inserted)
    return ctes


def insert_cte(
    table: Table, name: str, values: dict[str, ColumnElement[Any]], *conditions: ColumnElement[bool]
) -> CTE:
    """Return the CTE that inserts the rows of the values, if the conditions hold."""
    rows = select(*values.values()).where(*conditions)
    statement = insert(table).from_select(list(values), rows, include_defaults=False)
    return statement.returning(*table.c).cte(name)
