"""Changes of many rows that are written together, and the child rows that replace others."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ARRAY, Table, Uuid, bindparam, delete, func, inspect, select

from .child_inserts import children_of_relationship, insert_children_statement, with_positions
from .json_rows import to_json
from .models import Versioned
from .rows import mark_modified, update
from .session import session

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


def update_with_children(row: Any, changes: Mapping[str, Any]) -> None:
    """Update a locked row; the value of a relationship replaces all of its child rows."""
    mapper: Any = inspect(type(row))
    names = changes.keys() & mapper.relationships.keys()
    # First: only the update flushes, and one flush is one audit entry.
    for name in names:
        replace_children(row, name, changes[name])
    update(row, {name: value for name, value in changes.items() if name not in names})


def _replace_children_of_rows(name: str, replacements: Sequence[Replacement]) -> None:
    """Replace the children of several rows, with as many statements as for one.

    The statements are on the table, not on the model: this is faster, and nothing needs the
    children as objects.
    """
    model: Any = type(replacements[0][0])
    children = children_of_relationship(model, name)
    table, foreign_key = children
    stored = _fetch_children_by_parent(table, foreign_key, [row.pk for row, _ in replacements])
    changed: list[Versioned] = []
    new_children: list[dict[str, Any]] = []
    for row, items in replacements:
        empty = dict.fromkeys(table.c.keys()) | {foreign_key: row.pk}
        new = [{**empty, "position": number, **item} for number, item in enumerate(items)]
        if stored.get(row.pk, []) != new:
            changed.append(row)
            new_children.append(with_positions(children, row.pk, items))
    if changed:
        is_child = table.c[foreign_key] == _any_of_parents_parameter()
        session.execute(delete(table).where(is_child), {"parents": [row.pk for row in changed]})
        session.execute(insert_children_statement(children), {"new": to_json(new_children)})
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
