"""Writes the audit log: whatever the session flushes is noted in the same transaction."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from flask import Flask, has_request_context
from sqlalchemy import (
    CTE,
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

# An action, a table, a key, and the names of fields.
Change = tuple[str, str, UUID, list[str]]
INSERT = insert(db.table(AuditEntry))
NAMES = ("action", "resource", "resource_pk", "fields")
# What every change changes.
SYSTEM_COLUMNS = {"pk", "created_at", "updated_at", "version"}


def _write_flushed(session: Session, *_: object) -> None:
    _write(session, [*_pop_pending(session), *_changes(session)])


def _write_pending(session: Session) -> None:
    """Record what was noted since the last flush, if anything was."""
    _write(session, _pop_pending(session))


def _discard_rolled_back(session: Session, undone: SessionTransaction) -> None:
    """Drop what was noted of statements that are undone, be it all or what a savepoint held."""
    # A flush that fails takes with it the savepoint around it.
    gone = undone if undone.nested else session.get_nested_transaction()
    notes = session.info.pop("audit_entries", [])
    session.info["audit_entries"] = [note for note in notes if gone and note[0] is not gone]


def _write(session: Session, changes: list[Change]) -> None:
    if changes:
        who = _actor()
        entries = [dict(zip(NAMES, change, strict=True)) | who for change in changes]
        session.connection().execute(INSERT, entries)


def _pop_pending(session: Session) -> list[Change]:
    return [change for _savepoint, change in session.info.pop("audit_entries", [])]


def _changes(session: Session) -> Iterator[Change]:
    """Yield how a flush changed each row, which one it was, and which of its fields."""
    # pks are made in Python, so that new rows have theirs before they are inserted.
    for row in _versioned(session.new):
        yield "create", row.__tablename__, row.pk, _fields(row)
    for row in _versioned(session.dirty):
        if fields := _fields(row):
            yield "update", row.__tablename__, row.pk, fields
    for row in _versioned(session.deleted):
        yield "delete", row.__tablename__, row.pk, []


def _versioned(rows: Iterable[object]) -> Iterator[Any]:
    return (row for row in rows if isinstance(row, Versioned))


def _fields(row: Any) -> list[str]:
    columns = inspect(row).mapper.column_attrs.keys()
    changed = {name for name in columns if inspect(row).attrs[name].history.has_changes()}
    return sorted((changed - SYSTEM_COLUMNS) | db.modified_names(row))


def _actor() -> dict[str, Any]:
    """Return who asks; outside of a request it is nobody but the operator."""
    if not has_request_context():
        return {"user_id": None, "token_id": None, "request_id": None}
    caller = request.caller
    return {"user_id": caller.user_id, "token_id": caller.token_id, "request_id": request.id}


def audit_insert(new: CTE, resource: str, fields: Iterable[str]) -> CTE:
    """Return what records a creation as a part of its statement, whose `parameters` say by whom.

    The rest is the same for every row with these fields, and stands in the statement.
    """
    by: dict[str, TypeEngine[Any]] = {
        "pk": Uuid(),
        "user_id": Uuid(),
        "token_id": Uuid(),
        "request_id": String(),
    }
    change = ("'create'", f"'{resource}'", new.c.pk, f"'{{{','.join(fields)}}}'::varchar[]")
    values = [literal_column(one) if isinstance(one, str) else one for one in change]
    who = [bindparam(f"audit_{name}", type_=kind) for name, kind in by.items()]
    return INSERT.from_select([*NAMES, *by], select(*values, *who).select_from(new)).cte("noted")


def audit_parameters() -> dict[str, Any]:
    return {f"audit_{name}": value for name, value in (_actor() | {"pk": uuid7()}).items()}


def init_app(app: Flask) -> None:
    app.extensions["audit"] = audit_insert, audit_parameters
    register_listeners()


def register_listeners() -> None:
    """Record from now on, in this process."""
    for moment, act in (
        ("after_flush", _write_flushed),
        ("before_commit", _write_pending),
        ("after_soft_rollback", _discard_rolled_back),
    ):
        if not event.contains(db.session.session_factory, moment, act):
            event.listen(db.session.session_factory, moment, act)
