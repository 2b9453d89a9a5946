"""A new row, what hangs on it, its entry in the audit log and its document: one statement.

The unit of work would make five round trips of it, and hold a transaction open between them.
"""

from functools import cache
from typing import Any
from uuid import UUID

from flask import current_app
from marshmallow import Schema
from sqlalchemy import (
    ARRAY,
    CTE,
    Select,
    String,
    bindparam,
    cast,
    column,
    func,
    insert,
    inspect,
    select,
    true,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import RelationshipProperty, aliased

from alchemist import database as db

from . import database_errors
from .json_select import json_object
from .request import request

UNIQUE_VIOLATION = "23505"

# Values by column: of the row itself under "new", of its parts under what the row calls them.
ValuesByTable = dict[str, dict[str, Any]]
# The columns of each group.
InsertShape = tuple[tuple[str, tuple[str, ...]], ...]


def insert_returning_json(schema: Schema, row: Any) -> str | None:
    """Store a row that is new, and return its document.

    Return None if it is stored already: an attempt before this one did it, and lost its
    connection before it knew.
    """
    row.pk = request.new_pk
    groups = _groups(row)
    shape = tuple((group, tuple(values)) for group, values in groups.items())
    model: Any = type(row)
    try:
        [(stored,)] = db.fetch_all(_statement(model, shape, schema), _parameters(groups))
    except IntegrityError as error:
        if not _was_inserted_before(model, row.pk, error):
            raise
        return None
    return str(stored)


def _was_inserted_before(model: Any, pk: UUID, error: IntegrityError) -> bool:
    """Return whether what is there already is this very row.

    Of several unique constraints any one may be told: which one, the order of their indexes says.
    """
    if database_errors.sqlstate(error) != UNIQUE_VIOLATION or db.is_in_transaction():
        return False
    return db.fetch_one(_select_by_pk(model), {"pk": pk}) is not None


@cache
def _select_by_pk(model: Any) -> Select[Any]:
    key = db.table(model).c.pk
    return select(key).where(key == bindparam("pk"))


def _groups(row: Any) -> ValuesByTable:
    model: Any = type(row)
    columns, relationships = _names(model)
    found = vars(row)
    groups = {"new": {name: found[name] for name in columns if name in found}}
    for key, model_of_parts in relationships.items():
        if parts := found.get(key):
            names = [name for name in _names(model_of_parts)[0] if name in vars(parts[0])]
            groups[key] = {name: [getattr(part, name) for part in parts] for name in names}
    return groups


@cache
def _names(model: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the columns of a model, and the models of its relationships by their names."""
    mapper = inspect(model)
    relationships = {one.key: one.mapper.class_ for one in mapper.relationships}
    return list(mapper.columns.keys()), relationships


def _parameters(groups: ValuesByTable) -> dict[str, Any]:
    _, told = current_app.extensions["audit"]
    parameters: dict[str, Any] = told()
    for group, found in groups.items():
        parameters |= {f"{group}_{name}": value for name, value in found.items()}
    return parameters


@cache
def _statement(model: Any, shape: InsertShape, schema: Schema) -> Select[Any]:
    (_, names), *others = shape
    new = _parent_insert(model, names)
    relationships = inspect(model).relationships
    parts = {
        relationships[key].mapper.class_: _child_insert(new, relationships[key], names)
        for key, names in others
    }
    noted, _ = current_app.extensions["audit"]
    fields = sorted({*names, *(key for key, _ in others)} - {"pk"})
    note = noted(new, model.__tablename__, fields)
    shown = json_object(schema, aliased(model, new), parts)
    return select(cast(shown, String)).select_from(new).add_cte(note, *parts.values())


def _parent_insert(model: type[Any], names: tuple[str, ...]) -> CTE:
    table = db.table(model)
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return insert(table).values(values).returning(*table.c).cte("new")


def _child_insert(new: CTE, relationship: RelationshipProperty[Any], names: tuple[str, ...]) -> CTE:
    """Return the statement that writes the parts of the new row, however many there are."""
    table = db.table(relationship.mapper.class_)
    # A length would cut what is too long, where the column refuses it.
    types = {
        name: String() if isinstance(table.c[name].type, String) else table.c[name].type
        for name in names
    }
    arrays = [bindparam(f"{relationship.key}_{name}", type_=ARRAY(types[name])) for name in types]
    columns = [column(name, types[name]) for name in types]
    rows = func.unnest(*arrays).table_valued(*columns, name="parts").render_derived()
    [(_pk, foreign_key)] = relationship.local_remote_pairs or ()
    values = select(new.c.pk, *(rows.c[name] for name in types)).join_from(new, rows, true())
    written = insert(table).from_select([str(foreign_key.key), *types], values).returning(*table.c)
    return written.cte(f"new_{relationship.key}")
