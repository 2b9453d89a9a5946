"""The child rows with which a new row is inserted.

They are values and not objects, which take ten times as long to make.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    JSON,
    ColumnElement,
    Table,
    Uuid,
    column,
    func,
    insert,
    inspect,
    select,
    true,
)

from .json_rows import json_rows, json_type
from .models import Base


class Children(NamedTuple):
    """The table of the children of a relationship, and its column with the key of the parent."""

    table: Table
    foreign_key: str


@cache
def children_of_relationship(model: Any, name: str) -> Children:
    relationship = inspect(model).relationships[name]
    [(_, foreign_key)] = relationship.local_remote_pairs
    table = Base.metadata.tables[relationship.mapper.class_.__tablename__]
    return Children(table, foreign_key.key)


def set_new_children(row: Any, name: str, items: Sequence[Mapping[str, Any]]) -> None:
    """Let a new row be inserted with children of a relationship that is ordered by `position`.

    `items` are the values of all children, without position and foreign key.
    """
    vars(row)["_new_children"] = vars(row).get("_new_children", {}) | {name: items}


def new_children(row: Any) -> dict[str, dict[str, Any]]:
    """Return the key and the values of the `children` of a row with a key, by relationship.

    A list of them, in JSON, is the parameter of `child_values`.
    """
    return {
        name: with_positions(children_of_relationship(row.__class__, name), row.pk, items)
        for name, items in vars(row).get("_new_children", {}).items()
        if items
    }


def with_positions(
    children: Children, parent_pk: UUID, items: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the key of a parent, and the values of its children with their positions."""
    numbered = [{**item, "position": position} for position, item in enumerate(items)]
    return {children.foreign_key: str(parent_pk), "children": numbered}


def child_values(children: Children, parameter: str) -> dict[str, ColumnElement[Any]]:
    """Return the values of children by column, of a parameter with their JSON.

    That is an array of what `with_positions` returns. A missing value is NULL.
    """
    table, foreign_key = children
    parents = json_rows(parameter, {foreign_key: Uuid(), "children": JSON()})
    columns = [
        column(each.name, json_type(each.type)) for each in table.c if each.name != foreign_key
    ]
    items = (
        func.json_to_recordset(parents.c.children)
        .table_valued(*columns, name=f"items_of_{parameter}")
        .render_derived(with_types=True)
    )
    rows = select(parents.c[foreign_key], *items.c).join_from(parents, items, true()).subquery()
    return {each.name: rows.c[each.name] for each in table.c}


@cache
def insert_children_statement(children: Children) -> Any:
    """Return the INSERT of children whose JSON is the parameter `new`: see `child_values`."""
    values = child_values(children, "new")
    statement = insert(children.table)
    return statement.from_select(list(values), select(*values.values()), include_defaults=False)
