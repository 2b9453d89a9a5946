"""Writes the audit log: listeners of the session add an entry for each change of a row."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from flask import Flask, has_request_context
from sqlalchemy import (
    CTE,
    ColumnElement,
    String,
    Uuid,
    bindparam,
    event,
    insert,
    inspect,
    literal_column,
    select,
)
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.types import TypeEngine
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.api.request import request
from alchemist.database import Versioned

from .models import AuditEntry

# The values of CHANGE_COLUMNS: the action, the table, the pk, and the names of the fields.
Change = tuple[str, str, UUID, list[str]]
CHANGE_COLUMNS = ("action", "resource", "resource_pk", "fields")
INSERT = insert(db.table(AuditEntry))
PARAMETER_TYPES: dict[str, TypeEngine[Any]] = {
    "pk": Uuid(),
    "user_id": Uuid(),
    "token_id": Uuid(),
    "request_id": String(),
}
# Every change of a row writes these.
SYSTEM_COLUMNS = {"pk", "created_at", "updated_at", "version"}


def _write_flushed(session: Session, *_: object) -> None:
    """Write the pending entries, and those of the rows that were flushed."""
    _write(session, [*_pop_pending(session), *_flushed_changes(session)])


def _write_pending(session: Session) -> None:
    """Write the entries that `database.audit` has queued since the last flush."""
    _write(session, _pop_pending(session))


def _discard_rolled_back(session: Session, transaction: SessionTransaction) -> None:
    """Discard the pending entries of a savepoint that is rolled back, or of all without one."""
    # When a flush fails, SQLAlchemy rolls back its subtransaction and the savepoint around it.
    rolled_back = transaction if transaction.nested else session.get_nested_transaction()
    pending = session.info.pop("audit_entries", [])
    session.info["audit_entries"] = [
        (savepoint, change)
        for savepoint, change in pending
        if rolled_back and savepoint is not rolled_back
    ]


def _write(session: Session, changes: list[Change]) -> None:
    if changes:
        actor = _actor()
        entries = [dict(zip(CHANGE_COLUMNS, change, strict=True)) | actor for change in changes]
        session.connection().execute(INSERT, entries)


def _pop_pending(session: Session) -> list[Change]:
    return [change for _savepoint, change in session.info.pop("audit_entries", [])]


def _flushed_changes(session: Session) -> Iterator[Change]:
    """Yield the change of each row that was flushed."""
    # Python generates primary keys, so new rows have theirs.
    for row in _versioned(session.new):
        yield "create", row.__tablename__, row.pk, _changed_fields(row)
    for row in _versioned(session.dirty):
        if fields := _changed_fields(row):
            yield "update", row.__tablename__, row.pk, fields
    for row in _versioned(session.deleted):
        yield "delete", row.__tablename__, row.pk, []


def _versioned(rows: Iterable[object]) -> Iterator[Any]:
    return (row for row in rows if isinstance(row, Versioned))


def _changed_fields(row: Any) -> list[str]:
    """Return the names of the changed columns and of the changed children of a row."""
    state = inspect(row)
    columns = state.mapper.column_attrs.keys()
    changed = {name for name in columns if state.attrs[name].history.has_changes()}
    hidden = SYSTEM_COLUMNS | {column.name for column in row.__table__.c if db.is_derived(column)}
    return sorted((changed - hidden) | db.modified_names(row))


def _actor() -> dict[str, Any]:
    """Return who makes the change: the caller of the request, or nobody outside of a request."""
    if not has_request_context():
        return {"user_id": None, "token_id": None, "request_id": None}
    caller = request.caller
    return {"user_id": caller.user_id, "token_id": caller.token_id, "request_id": request.id}


def audit_insert(inserted: CTE, resource: str, fields: Iterable[str]) -> CTE:
    """Return a CTE that writes the audit entry of an INSERT in the same statement.

    `audit_parameters` returns the values of its parameters. The rest is the same for all rows with
    these fields, so it is part of the SQL text.
    """
    change: tuple[ColumnElement[Any], ...] = (
        literal_column("'create'"),
        literal_column(f"'{resource}'"),
        inserted.c.pk,
        literal_column(f"'{{{','.join(fields)}}}'::varchar[]"),
    )
    parameters = [
        bindparam(f"audit_{name}", type_=type_) for name, type_ in PARAMETER_TYPES.items()
    ]
    values = select(*change, *parameters).select_from(inserted)
    return INSERT.from_select([*CHANGE_COLUMNS, *PARAMETER_TYPES], values).cte("audit_entry")


def audit_parameters() -> dict[str, Any]:
    """Return the parameters of `audit_insert` for a row that the current request inserts."""
    return {f"audit_{name}": value for name, value in (_actor() | {"pk": uuid7()}).items()}


def init_app(app: Flask) -> None:
    app.extensions["audit"] = audit_insert, audit_parameters
    register_listeners()


def register_listeners() -> None:
    """Write the audit log from now on, for every session of this process."""
    factory = db.session.session_factory
    for event_name, listener in (
        ("after_flush", _write_flushed),
        ("before_commit", _write_pending),
        ("after_soft_rollback", _discard_rolled_back),
    ):
        if not event.contains(factory, event_name, listener):
            event.listen(factory, event_name, listener)
