"""Writes the audit log: whatever the session flushes is noted in the same transaction."""

from collections.abc import Iterator
from typing import Any

from flask import has_request_context
from sqlalchemy import event, insert, inspect
from sqlalchemy.orm import Session

from alchemist import db
from alchemist.db import Versioned
from alchemist.rest.request import request

from .models import AuditEntry

INSERT = insert(db.table(AuditEntry))
# What every change changes.
BOOKKEEPING = {"pk", "created_at", "updated_at", "version"}


def _record(session: Session, _context: object) -> None:
    # pks are made in Python, so that new rows have theirs before they are inserted.
    entries = [
        {"resource": row.__tablename__, "resource_pk": row.pk, "action": action, "fields": fields}
        for row, action, fields in _changes(session)
    ]
    if entries:
        who = _who()
        session.connection().execute(INSERT, [entry | who for entry in entries])


def _changes(session: Session) -> Iterator[tuple[Any, str, list[str]]]:
    """Yield each row that a flush wrote, how, and which of its fields."""
    for row in session.new:
        if isinstance(row, Versioned):
            yield row, "create", _fields(row)
    for row in session.dirty:
        if isinstance(row, Versioned) and (fields := _fields(row)):
            yield row, "update", fields
    for row in session.deleted:
        if isinstance(row, Versioned):
            yield row, "delete", []


def _fields(row: Any) -> list[str]:
    columns = inspect(row).mapper.column_attrs.keys()
    changed = {name for name in columns if inspect(row).attrs[name].history.has_changes()}
    return sorted((changed - BOOKKEEPING) | db.touched(row))


def _who() -> dict[str, Any]:
    """Return who asks; outside of a request it is nobody but the operator."""
    if not has_request_context():
        return {"user_id": None, "token_id": None, "request_id": None}
    caller = request.caller
    return {"user_id": caller.user_id, "token_id": caller.token_id, "request_id": request.id}


def listen() -> None:
    """Record from now on, in this process."""
    if not event.contains(db.session.session_factory, "after_flush", _record):
        event.listen(db.session.session_factory, "after_flush", _record)
