"""INSERT a row, its children and its audit entry, and SELECT its JSON, in one statement.

The session would need five round trips, and would keep a transaction open between them.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from flask import current_app
from marshmallow import Schema
from sqlalchemy import (
    ARRAY,
    CTE,
    Column,
    ScalarSelect,
    Select,
    String,
    Table,
    bindparam,
    cast,
    column,
    exists,
    func,
    insert,
    inspect,
    null,
    select,
    true,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import RelationshipProperty, aliased

from alchemist import database as db

from . import database_errors
from .json_select import json_object
from .references import LookupShape, Reference, lookup_of, lookup_statement, unknown_references
from .request import request

UNIQUE_VIOLATION = "23505"

# Values by column: of the row itself under "inserted", of its children under their relationship.
ValuesByTable = dict[str, dict[str, Any]]
# The names of the columns of each of these tables.
InsertShape = tuple[tuple[str, tuple[str, ...]], ...]


class Inserted(NamedTuple):
    """The JSON of a new row; without it, the references that lead nowhere."""

    body: str | None
    unknown: list[Reference]


def insert_returning_json(
    schema: Schema, row: Any, references: Sequence[Reference] = ()
) -> Inserted | None:
    """Store a new row, unless something that it refers to does not exist.

    Return None if a previous attempt of this request stored the row, and lost its connection
    before the answer arrived.
    """
    row.pk = request.new_pk
    values = _values_of_row_and_children(row)
    shape = tuple((name, tuple(columns)) for name, columns in values.items())
    lookup = lookup_of(references)
    model: Any = type(row)
    statement = _insert_statement(model, shape, schema, lookup.shape)
    try:
        [(body, unknown)] = db.fetch_all(
            statement, _insert_and_audit_parameters(row, values) | lookup.parameters
        )
    except IntegrityError as error:
        if not _was_inserted_before(model, row.pk, error):
            raise
        return None
    return Inserted(body, unknown_references(references, lookup, unknown or ()))


def _was_inserted_before(model: Any, pk: UUID, error: IntegrityError) -> bool:
    """Return whether this very row is stored already.

    PostgreSQL reports whichever unique index it checks first, so the pk is looked up.
    """
    if database_errors.sqlstate(error) != UNIQUE_VIOLATION or db.uses_session_transaction():
        return False
    return db.fetch_one(_select_pk(model), {"pk": pk}) is not None


@cache
def _select_pk(model: Any) -> Select[Any]:
    key = db.table(model).c.pk
    return select(key).where(key == bindparam("pk"))


def _values_of_row_and_children(row: Any) -> ValuesByTable:
    values = {"inserted": _set_or_default_values(row)}
    for relationship in inspect(type(row)).relationships:
        if children := vars(row).get(relationship.key):
            rows = [_set_or_default_values(child) for child in children]
            # A value that only some of the children have is NULL for the others.
            names = dict.fromkeys(name for row in rows for name in row)
            values[relationship.key] = {name: [row.get(name) for row in rows] for name in names}
    return values


def _set_or_default_values(row: Any) -> dict[str, Any]:
    """Return the values that were set, and those that Python makes for the other columns."""
    given = vars(row)
    return {
        column.name: given[column.name] if column.name in given else _python_value(column, given)
        for column in db.table(type(row)).columns
        if column.name in given or column.default is not None
    }


def _python_value(column: Column[Any], values: Mapping[str, Any]) -> Any:
    """Return the value of a column that was not set: derived from others, or its default."""
    if db.is_derived(column):
        return db.derived_value(column, values)
    default: Any = column.default
    return default.arg(None) if default.is_callable else default.arg


def _insert_and_audit_parameters(row: Any, values: ValuesByTable) -> dict[str, Any]:
    _, audit_parameters = current_app.extensions["audit"]
    parameters: dict[str, Any] = audit_parameters(row)
    for table, columns in values.items():
        parameters |= {f"{table}_{name}": value for name, value in columns.items()}
    return parameters


@cache
def _insert_statement(
    model: Any, shape: InsertShape, schema: Schema, lookup: LookupShape
) -> Select[Any]:
    (_, names), *children = shape
    unknown = _unknown_keys_cte(lookup)
    inserted = _parent_insert_cte(db.table(model), names, unknown)
    relationships = inspect(model).relationships
    sources = {
        relationships[key].mapper.class_: _children_insert_cte(inserted, relationships[key], names)
        for key, names in children
    }
    audit_insert_cte, _ = current_app.extensions["audit"]
    derived = {each.name for each in db.table(model).columns if db.is_derived(each)}
    fields = sorted({*names, *(key for key, _ in children)} - derived - {"pk"})
    audit = audit_insert_cte(inserted, model.__tablename__, fields)
    document = json_object(schema, aliased(model, inserted), sources)
    body = select(cast(document, String)).select_from(inserted).scalar_subquery()
    pairs = null() if unknown is None else _rows_as_json_arrays(unknown)
    return select(body, pairs).add_cte(inserted, audit, *sources.values())


def _unknown_keys_cte(lookup: LookupShape) -> CTE | None:
    """Return the numbers and keys of references that lead nowhere."""
    if not lookup:
        return None
    found = lookup_statement(lookup).subquery()
    return select(found.c.number, found.c.key).where(found.c.columns.is_(None)).cte("unknown")


def _rows_as_json_arrays(rows: CTE) -> ScalarSelect[Any]:
    return select(func.json_agg(func.json_build_array(*rows.c))).scalar_subquery()


def _parent_insert_cte(table: Table, names: tuple[str, ...], unknown: CTE | None) -> CTE:
    values = {name: bindparam(f"inserted_{name}", type_=table.c[name].type) for name in names}
    if unknown is None:
        statement = insert(table).values(values)
    else:
        row = select(*values.values()).where(~exists(select(unknown)))
        statement = insert(table).from_select(list(names), row, include_defaults=False)
    return statement.returning(*table.c).cte("inserted")


def _children_insert_cte(
    inserted: CTE, relationship: RelationshipProperty[Any], names: tuple[str, ...]
) -> CTE:
    """Return the statement that inserts the children of the new row, however many there are."""
    table = db.table(relationship.mapper.class_)
    # A length would cut what is too long, where the column refuses it.
    types = {
        name: String() if isinstance(table.c[name].type, String) else table.c[name].type
        for name in names
    }
    arrays = [bindparam(f"{relationship.key}_{name}", type_=ARRAY(types[name])) for name in types]
    columns = [column(name, types[name]) for name in types]
    rows = func.unnest(*arrays).table_valued(*columns, name="children").render_derived()
    [(_pk, foreign_key)] = relationship.local_remote_pairs or ()
    values = select(inserted.c.pk, *(rows.c[name] for name in types)).join_from(
        inserted, rows, true()
    )
    statement = insert(table).from_select(
        [str(foreign_key.key), *types], values, include_defaults=False
    )
    return statement.returning(*table.c).cte(f"inserted_{relationship.key}")
