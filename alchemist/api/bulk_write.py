"""Insert or update many rows of one model, with their audit entries, in one statement."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

from flask import current_app
from sqlalchemy import (
    ARRAY,
    Select,
    String,
    Update,
    Uuid,
    bindparam,
    cast,
    func,
    inspect,
    select,
    update,
)

from alchemist import database as db

from . import unique_values
from .row_inserts import (
    audited_field_names,
    children_insert_ctes,
    column_names,
    insert_cte,
    merge_children,
)


def insert_many(rows: Sequence[Any], values: Sequence[dict[str, Any]]) -> None:
    """Store new rows of one model with their children and audit entries, in the session.

    `values` are those of the columns of each row, with primary keys. The rows are inserted in the
    order of their references: of two writers of the same ones, one waits for the other.
    """
    if not rows:
        return
    model: Any = type(rows[0])
    children_of_rows = [db.new_children(row) for row in rows]
    children = merge_children(children_of_rows)
    fields = [
        audited_field_names(model, (*columns, *own_children))
        for columns, own_children in zip(values, children_of_rows, strict=True)
    ]
    in_order = sorted(values, key=lambda each: each.get("reference") or "")
    parameters = {"inserted": db.to_json({**each, "pk": str(each["pk"])} for each in in_order)}
    parameters |= {name: db.to_json(each) for name, each in children.items()}
    parameters |= current_app.extensions["audit"].insert_many_parameters(rows, fields)
    statement = _insert_many_statement(model, column_names(values), tuple(children))
    db.execute_compiled(statement, parameters)


@cache
def _insert_many_statement(
    model: Any, names: tuple[str, ...], children: tuple[str, ...]
) -> Select[Any]:
    table = db.table(model)
    inserted = insert_cte(table, "inserted", db.json_row_values("inserted", table, names))
    audit = current_app.extensions["audit"].insert_many_cte(inserted, "create", model.__tablename__)
    children_ctes = children_insert_ctes(model, inserted, children).values()
    count = select(func.count()).select_from(inserted)
    return count.add_cte(inserted, audit, *children_ctes)


def detach_and_prepare_updates(rows: Sequence[Any]) -> Callable[[], None]:
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
    new = [
        {"pk": row.pk} | {name: _column_value(row, model, name) for name in names} for row in rows
    ]
    parameters = {"new": db.to_json(new)}
    parameters |= current_app.extensions["audit"].insert_many_parameters(rows, fields)
    before = [{**vars(row), **inspect(row).committed_state} for row in rows]
    exchanged = unique_values.find_exchanged(model, before, [vars(row) for row in rows])

    def write() -> None:
        for name, pks in exchanged.items():
            db.session.execute(_release_statement(model, name), {"pks": pks})
        db.session.execute(_update_many_statement(model, names), parameters)

    return write


@cache
def _release_statement(model: Any, name: str) -> Update:
    """Return the UPDATE that replaces unique texts, so that other rows can get them.

    PostgreSQL checks a unique index row by row. With a deferrable constraint it would not, but then
    two writers of the same values would end in a deadlock instead of waiting for each other.
    """
    table = db.table(model)
    is_named = table.c.pk == func.any(bindparam("pks", type_=ARRAY(Uuid())))
    return update(table).where(is_named).values({name: cast(func.gen_random_uuid(), String)})


def _changed_columns(row: Any) -> set[str]:
    """Return the names of the changed columns, without those that every update changes."""
    columns = inspect(row).attrs
    changed = {
        each.key for each in columns if each.key in row.__table__.c and each.history.has_changes()
    }
    return changed - {"updated_at", "version"}


def _column_value(row: Any, model: Any, name: str) -> Any:
    """Return the value of a column; a derived one is not loaded with its row."""
    column = db.table(model).c[name]
    return db.derived_value(column, vars(row)) if db.is_derived(column) else getattr(row, name)


# Bounded, because clients choose the columns.
@lru_cache(maxsize=100)
def _update_many_statement(model: Any, names: tuple[str, ...]) -> Select[Any]:
    table = db.table(model)
    new = db.json_row_values("new", table, ("pk", *names))
    updated = (
        update(table)
        .where(table.c.pk == new["pk"])
        .values({name: new[name] for name in names})
        .values(version=table.c.version + 1, updated_at=func.clock_timestamp())
        .returning(table.c.pk)
        .cte("updated")
    )
    audit = current_app.extensions["audit"].insert_many_cte(updated, "update", model.__tablename__)
    return select(func.count()).select_from(updated).add_cte(updated, audit)
