"""Insert or update many rows of one model, with their audit entries, in one statement."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from flask import current_app
from sqlalchemy import Select, func, inspect, select, update
from uuid_utils.compat import uuid7

from alchemist import database as db

from .row_inserts import (
    InsertShape,
    audited_fields,
    children_insert_ctes,
    insert_cte,
    parameters_of,
    set_or_default_values,
    shape_of,
    values_of_children,
)


def insert_many(rows: Sequence[Any]) -> None:
    """Store new rows of one model with their children and audit entries, in the session.

    Their primary keys ascend, so that the order of creation is theirs. They are inserted in the
    order of their references: of two writers of the same ones, one waits for the other.
    """
    if not rows:
        return
    for row, pk in zip(rows, sorted(uuid7() for _ in rows), strict=True):
        row.pk = pk
    rows = sorted(rows, key=lambda row: getattr(row, "reference", None) or "")
    each = [set_or_default_values(row) for row in rows]
    values = {"inserted": db.arrays_by_column(each)} | values_of_children(rows)
    children = [{name for name in values if vars(row).get(name)} for row in rows]
    fields = [
        audited_fields(type(row), names.keys() | of_children)
        for row, names, of_children in zip(rows, each, children, strict=True)
    ]
    audit_parameters = current_app.extensions["audit"].many_parameters(rows, fields)
    model: Any = type(rows[0])
    statement = _insert_many_statement(model, shape_of(values))
    db.session.execute(statement, parameters_of(values) | audit_parameters)


@cache
def _insert_many_statement(model: Any, shape: InsertShape) -> Select[Any]:
    (_, names), *children = shape
    table = db.table(model)
    inserted = insert_cte(table, "inserted", db.unnest_for("inserted", table, names))
    audit = current_app.extensions["audit"].many_cte(inserted, "create", model.__tablename__)
    children_ctes = children_insert_ctes(model, inserted, children).values()
    count = select(func.count()).select_from(inserted)
    return count.add_cte(inserted, audit, *children_ctes)


def prepare_updates(rows: Sequence[Any]) -> Callable[[], None]:
    """Return a function that writes the changes of locked rows, which leave the session.

    A row that has not changed is not written.
    """
    audit = current_app.extensions["audit"]
    fields = {row.pk: audit.changed_fields(row) for row in rows}
    changed = [row for row in rows if fields[row.pk]]
    write = _prepare_update(changed, [fields[row.pk] for row in changed])
    for row in rows:
        db.session.expunge(row)
    return write


def _prepare_update(rows: Sequence[Any], fields: Sequence[Sequence[str]]) -> Callable[[], None]:
    if not rows:
        return lambda: None
    model: Any = type(rows[0])
    names = tuple(sorted({name for row in rows for name in _changed_columns(row)}))
    values = {"pk": [row.pk for row in rows]}
    values |= {name: [_value(row, model, name) for row in rows] for name in names}
    parameters = db.array_parameters("new", values)
    parameters |= current_app.extensions["audit"].many_parameters(rows, fields)

    def write() -> None:
        db.session.execute(_update_many_statement(model, names), parameters)

    return write


def _changed_columns(row: Any) -> set[str]:
    """Return the names of the changed columns, without those that every update changes."""
    columns = inspect(row).attrs
    changed = {
        each.key for each in columns if each.key in row.__table__.c and each.history.has_changes()
    }
    return changed - {"updated_at", "version"}


def _value(row: Any, model: Any, name: str) -> Any:
    """Return the value of a column; a derived one is not loaded with its row."""
    column = db.table(model).c[name]
    return db.derived_value(column, vars(row)) if db.is_derived(column) else getattr(row, name)


@cache
def _update_many_statement(model: Any, names: tuple[str, ...]) -> Select[Any]:
    table = db.table(model)
    new = db.unnest_for("new", table, ("pk", *names))
    updated = (
        update(table)
        .where(table.c.pk == new["pk"])
        .values({name: new[name] for name in names})
        .values(version=table.c.version + 1, updated_at=func.clock_timestamp())
        .returning(table.c.pk)
        .cte("updated")
    )
    audit = current_app.extensions["audit"].many_cte(updated, "update", model.__tablename__)
    return select(func.count()).select_from(updated).add_cte(updated, audit)
