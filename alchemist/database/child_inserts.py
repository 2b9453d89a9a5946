"""The child rows with which a new row is inserted.

They are values and not objects, which take ten times as long to make.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    ColumnElement,
    Table,
    Uuid,
    cast,
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
        name: {
            children_of_relationship(row.__class__, name).foreign_key: str(row.pk),
            "children": items,
        }
        for name, items in vars(row).get("_new_children", {}).items()
        if items
    }


def child_values(children: Children, parameter: str) -> dict[str, ColumnElement[Any]]:
    """Return the values of children by column, of a parameter with their JSON.

    That is an array of objects, each with the key of a parent and its `children`: their values,
    in the order of their positions. A missing value is NULL.
    """
    table, foreign_key = children
    parents = json_rows(parameter, {foreign_key: Uuid(), "children": JSON()})
    items = (
        func.json_array_elements(parents.c.children)
        .table_valued(column("item", JSON), with_ordinality="number", name=f"items_of_{parameter}")
        .render_derived()
    )
    rows = select(parents.c[foreign_key], *items.c).join_from(parents, items, true()).subquery()
    values: dict[str, ColumnElement[Any]] = {
        each.name: cast(rows.c.item.op("->>")(each.name), json_type(each.type)) for each in table.c
    }
    return values | {foreign_key: rows.c[foreign_key], "position": rows.c.number - 1}


@cache
def insert_children_statement(children: Children) -> Any:
    """Return the INSERT of children whose JSON is the parameter `new`: see `child_values`."""
    values = child_values(children, "new")
    statement = insert(children.table)
    return statement.from_select(list(values), select(*values.values()), include_defaults=False)
