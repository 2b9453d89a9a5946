"""Changes of many rows that are written together, and the child rows that replace others."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, Table, Uuid, bindparam, delete, func, insert, inspect, select

from .json_rows import json_row_values, to_json
from .models import Base, Versioned
from .session import mark_modified, session

# A row, and the values of the children that it gets, without position and foreign key.
Replacement = tuple[Versioned, Sequence[Mapping[str, Any]]]


@contextmanager
def deferred_writes() -> Iterator[None]:
    """Let `update` and `replace_children` change objects only, until the block ends.

    Then the children are replaced. The objects are left to a statement that writes many rows: the
    session must not flush before they have left it.
    """
    info = session.info
    info["is_deferred"], info["replacements"] = True, {}
    try:
        with session.no_autoflush:
            yield
            for name, replacements in info["replacements"].items():
                _replace_children_of_rows(name, replacements)
    finally:
        del info["is_deferred"], info["replacements"]


def replace_children(row: Versioned, name: str, items: Sequence[Mapping[str, Any]]) -> None:
    """Replace the child rows of a relationship that is ordered by `position`.

    `items` are the values of all children, without position and foreign key. Children that are
    equal already stay, and then the row is not modified.
    """
    if session.info.get("is_deferred"):
        session.info["replacements"].setdefault(name, []).append((row, items))
    else:
        _replace_children_of_rows(name, [(row, items)])


def _replace_children_of_rows(name: str, replacements: Sequence[Replacement]) -> None:
    """Replace the children of several rows, with as many statements as for one.

    The statements are on the table, not on the model: this is faster, and nothing needs the
    children as objects.
    """
    mapper: Any = inspect(type(replacements[0][0]))
    relationship = mapper.relationships[name]
    [(_, foreign_key)] = relationship.local_remote_pairs
    table = Base.metadata.tables[relationship.mapper.class_.__tablename__]
    stored = _fetch_children_by_parent(table, foreign_key.key, [row.pk for row, _ in replacements])
    changed: list[Versioned] = []
    children: list[Mapping[str, Any]] = []
    for row, items in replacements:
        empty = dict.fromkeys(table.c.keys()) | {foreign_key.key: row.pk}
        new = [{**empty, "position": number, **item} for number, item in enumerate(items)]
        if stored.get(row.pk, []) != new:
            changed.append(row)
            children += new
    if changed:
        is_child = table.c[foreign_key.key] == _any_of_parents_parameter()
        session.execute(delete(table).where(is_child), {"parents": [row.pk for row in changed]})
    if children:
        session.execute(_insert_from_json_statement(table), {"new": to_json(children)})
    # Last: SQLAlchemy 2.1 flushes before each statement, and one flush is one audit entry.
    for row in changed:
        mark_modified(row, name)


def _fetch_children_by_parent(
    table: Table, foreign_key: str, parents: Sequence[Any]
) -> dict[Any, list[dict[str, Any]]]:
    """Return the children of the parents in the order of their positions, by parent."""
    is_child = table.c[foreign_key] == _any_of_parents_parameter()
    query = select(table).where(is_child).order_by(table.c[foreign_key], table.c.position)
    by_parent: dict[Any, list[dict[str, Any]]] = {}
    for child in session.execute(query, {"parents": parents}).mappings():
        by_parent.setdefault(child[foreign_key], []).append(dict(child))
    return by_parent


def _any_of_parents_parameter() -> Any:
    return func.any(bindparam("parents", type_=ARRAY(Uuid())))


@cache
def _insert_from_json_statement(table: Table) -> Any:
    values = json_row_values("new", table, table.c.keys())
    return insert(table).from_select(list(values), select(*values.values()), include_defaults=False)
