"""INSERT a row, its children and its audit entry, and SELECT its JSON, in one statement.

The session would need five round trips, and would keep a transaction open between them.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from marshmallow import Schema
from sqlalchemy import (
    CTE,
    ScalarSelect,
    Select,
    String,
    Table,
    bindparam,
    cast,
    exists,
    func,
    insert,
    null,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from alchemist import database as db

from . import database_errors
from .json_select import json_object
from .reference_lookup import LookupShape, build_lookup, lookup_statement, unknown_references
from .references import Reference
from .request import app_extensions, current_request
from .row_inserts import (
    audited_field_names,
    children_insert_ctes,
    column_names,
    set_or_default_values,
)

UNIQUE_VIOLATION = "23505"


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
    row.pk = current_request().new_pk
    values, children = set_or_default_values(row), db.new_children(row)
    lookup = build_lookup(references)
    model: Any = type(row)
    statement = _insert_statement(
        model, column_names([values]), tuple(children), schema, lookup.shape
    )
    try:
        parameters = app_extensions()["audit"].insert_parameters(row)
        parameters |= {f"inserted_{name}": value for name, value in values.items()}
        parameters |= {name: db.to_json([each]) for name, each in children.items()}
        [(body, unknown)] = db.fetch_all(statement, parameters | lookup.parameters)
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
    return db.fetch_one(_select_and_lock_pk(model), {"pk": pk}) is not None


@cache
def _select_and_lock_pk(model: Any) -> Select[Any]:
    """Return the SELECT of a pk.

    Its row lock makes it wait for the synchronous standby, as the commit of the row did before the
    connection was lost.
    """
    key = db.table(model).c.pk
    return select(key).where(key == bindparam("pk")).with_for_update(read=True, key_share=True)


@cache
def _insert_statement(
    model: Any,
    names: tuple[str, ...],
    children: tuple[str, ...],
    schema: Schema,
    lookup: LookupShape,
) -> Select[Any]:
    unknown = _unknown_keys_cte(lookup)
    inserted = _parent_insert_cte(db.table(model), names, unknown)
    sources = children_insert_ctes(model, inserted, children)
    fields = audited_field_names(model, (*names, *children))
    audit = app_extensions()["audit"].insert_cte(inserted, model.__tablename__, fields)
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
