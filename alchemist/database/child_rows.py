"""The child rows with which a new row is inserted.

They are values and not objects, which take ten times as long to make.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Table, insert, inspect, select

from .json_rows import json_row_values
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


def new_children(row: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the children with which a row with a key is inserted, by relationship."""
    by_relationship = {}
    for name, items in vars(row).get("_new_children", {}).items():
        parent = {children_of_relationship(row.__class__, name).foreign_key: str(row.pk)}
        if items:
            by_relationship[name] = [
                {**parent, "position": number, **item} for number, item in enumerate(items)
            ]
    return by_relationship


@cache
def insert_from_json_statement(table: Table) -> Any:
    """Return the INSERT of the rows whose JSON is the parameter `new`."""
    values = json_row_values("new", table, table.c.keys())
    return insert(table).from_select(list(values), select(*values.values()), include_defaults=False)
