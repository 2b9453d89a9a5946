"""The values of new rows and of their children, and the CTEs that insert them."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Table,
    exists,
    insert,
    inspect,
    select,
)
from sqlalchemy.orm import RelationshipProperty

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
    return tuple(sorted({name for row in rows for name in row}))


def child_values_by_relationship(rows: Sequence[Any]) -> RowsByRelationship:
    """Return the values of all children of the rows, by their relationship."""
    by_relationship = {}
    model: Any = type(rows[0])
    for relationship in _relationships_to_children(model):
        foreign_key = _foreign_key_name(relationship)
        children = [
            {foreign_key: row.pk} | set_or_default_values(child)
            for row in rows
            for child in vars(row).get(relationship.key) or ()
        ]
        if children:
            by_relationship[relationship.key] = children
    return by_relationship


@cache
def _relationships_to_children(model: Any) -> list[RelationshipProperty[Any]]:
    return [each for each in inspect(model).relationships if each.uselist]


def _foreign_key_name(relationship: RelationshipProperty[Any]) -> str:
    [(_pk, foreign_key)] = relationship.local_remote_pairs or ()
    return str(foreign_key.key)


def set_or_default_values(row: Any) -> dict[str, Any]:
    """Return the values that were set, and those that Python makes for the other columns."""
    given = vars(row)
    return {
        column.name: given[column.name]
        if column.name in given
        else _derived_or_default_value(column, given)
        for column in row.__table__.c
        if column.name in given or column.default is not None
    }


def _derived_or_default_value(column: Column[Any], values: Mapping[str, Any]) -> Any:
    """Return the value of a column that was not set: derived from others, or its default."""
    if db.is_derived(column):
        return db.derived_value(column, values)
    default: Any = column.default
    return default.arg(None) if default.is_callable else default.arg


@cache
def audited_field_names(model: Any, names: frozenset[str]) -> list[str]:
    """Return the names without those that are in every row, or that Python derives."""
    derived = {each.name for each in db.table(model).columns if db.is_derived(each)}
    return sorted(names - derived - {"pk", "created_at"})


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
