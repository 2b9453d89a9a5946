"""The values of new rows and of their children, and the CTEs that insert them."""

from collections.abc import Iterable, Mapping, Sequence
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

# Values by column: of the row under "inserted", of its children under their relationship. Those of
# several rows, and of children, are arrays.
ValuesByTable = dict[str, dict[str, Any]]
# The names of the columns of each of these tables.
InsertShape = tuple[tuple[str, tuple[str, ...]], ...]


def shape_of(values: ValuesByTable) -> InsertShape:
    return tuple((name, tuple(columns)) for name, columns in values.items())


def values_of_children(rows: Sequence[Any]) -> ValuesByTable:
    """Return the arrays of the values of all children, by their relationship."""
    values = {}
    for relationship in inspect(type(rows[0])).relationships:
        if relationship.uselist:
            foreign_key = _foreign_key(relationship)
            children = [
                {foreign_key: row.pk} | set_or_default_values(child)
                for row in rows
                for child in vars(row).get(relationship.key) or ()
            ]
            if children:
                values[relationship.key] = db.arrays_by_column(children)
    return values


def _foreign_key(relationship: RelationshipProperty[Any]) -> str:
    [(_pk, foreign_key)] = relationship.local_remote_pairs or ()
    return str(foreign_key.key)


def set_or_default_values(row: Any) -> dict[str, Any]:
    """Return the values that were set, and those that Python makes for the other columns."""
    given = vars(row)
    return {
        column.name: given[column.name] if column.name in given else _python_value(column, given)
        for column in db.table(type(row)).columns
        if column.name in given or column.default is not None
    }


def set_or_default_value(row: Any, column: Column[Any]) -> Any:
    """Return the value of one column of a new row, None if only PostgreSQL has a default."""
    given = vars(row)
    if column.name in given or column.default is None:
        return given.get(column.name)
    return _python_value(column, given)


def _python_value(column: Column[Any], values: Mapping[str, Any]) -> Any:
    """Return the value of a column that was not set: derived from others, or its default."""
    if db.is_derived(column):
        return db.derived_value(column, values)
    default: Any = column.default
    return default.arg(None) if default.is_callable else default.arg


def parameters_of(values: ValuesByTable) -> dict[str, Any]:
    """Return the values by the names of the parameters of an INSERT."""
    parameters = [db.array_parameters(table, columns) for table, columns in values.items()]
    return {name: value for each in parameters for name, value in each.items()}


def audited_fields(model: Any, names: Iterable[str]) -> list[str]:
    """Return the names without those that are in every row, or that Python derives."""
    derived = {each.name for each in db.table(model).columns if db.is_derived(each)}
    return sorted(set(names) - derived - {"pk"})


def children_insert_ctes(
    model: Any, inserted: CTE, children: Sequence[tuple[str, tuple[str, ...]]]
) -> dict[Any, CTE]:
    """Return the statements that insert children if rows were `inserted`, by their models."""
    ctes = {}
    for key, names in children:
        child = inspect(model).relationships[key].mapper.class_
        values = db.unnest_for(key, db.table(child), names)
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
