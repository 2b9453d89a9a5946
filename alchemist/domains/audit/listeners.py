"""Writes the audit log: listeners of the session add an entry for each change of a row."""

import os
import pwd
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from flask import has_request_context
from sqlalchemy import (
    ARRAY,
    JSON,
    Insert,
    String,
    Uuid,
    bindparam,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.types import TypeEngine
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.api.request import current_request
from alchemist.database import Versioned

from .models import AuditEntry

# A field with its former and its new value, as text.
ValueChange = dict[str, str | None]
# The values of CHANGE_COLUMNS: the action, the table, the pk, the names of the fields, and the
# changes of values.
Change = tuple[str, str, UUID, list[str], list[ValueChange]]
CHANGE_COLUMNS = ("action", "resource", "resource_pk", "fields", "changes")
INSERT = insert(db.table(AuditEntry))
ACTOR_TYPES: dict[str, TypeEngine[Any]] = {
    "user_id": Uuid(),
    "token_id": Uuid(),
    "request_id": String(),
    "client_request_id": String(),
    "client_address": String(),
    "os_user": String(),
}
# What each entry has for itself.
CHANGE_TYPES: dict[str, TypeEngine[Any]] = {
    "pk": Uuid(),
    "action": String(),
    "resource": String(),
    "resource_pk": Uuid(),
    "fields": ARRAY(String),
    "changes": JSON(),
}
# Every change of a row writes these.
SYSTEM_COLUMNS = {"pk", "created_at", "updated_at", "version"}


def with_audit_prefix(values: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a statement from the values of columns."""
    return {f"audit_{name}": value for name, value in values.items()}


def _insert_many_statement() -> Insert:
    entries = db.json_rows("audit", CHANGE_TYPES)
    values = [entries.c[name] for name in CHANGE_TYPES]
    actor = [bindparam(f"audit_{name}", type_=type_) for name, type_ in ACTOR_TYPES.items()]
    return INSERT.from_select([*CHANGE_TYPES, *ACTOR_TYPES], select(*values, *actor))


INSERT_MANY = _insert_many_statement()


def _write_flushed_and_pending(session: Session, *_: object) -> None:
    """Write the pending entries, and those of the rows that were flushed."""
    _insert_entries(session, [*_pop_pending(session), *_flushed_changes(session)])


def _write_pending(session: Session) -> None:
    """Write the entries that `database.audit` has queued since the last flush."""
    _insert_entries(session, _pop_pending(session))


def _discard_entries_of_rolled_back_savepoint(
    session: Session, transaction: SessionTransaction
) -> None:
    """Discard the pending entries of a savepoint that is rolled back, or of all without one."""
    # When a flush fails, SQLAlchemy rolls back its subtransaction and the savepoint around it.
    rolled_back = transaction if transaction.nested else session.get_nested_transaction()
    pending = session.info.pop("audit_entries", [])
    session.info["audit_entries"] = [
        (savepoint, change)
        for savepoint, change in pending
        if rolled_back and savepoint is not rolled_back
    ]


def _insert_entries(session: Session, changes: list[Change]) -> None:
    """Write an entry for each change, all of them with one statement."""
    if changes:
        entries = [
            {"pk": uuid7(), **dict(zip(CHANGE_COLUMNS, change, strict=True))} for change in changes
        ]
        parameters = with_audit_prefix(current_actor_values()) | {"audit": db.to_json(entries)}
        session.connection().execute(INSERT_MANY, parameters)


def _pop_pending(session: Session) -> list[Change]:
    return [change for _savepoint, change in session.info.pop("audit_entries", [])]


def _flushed_changes(session: Session) -> Iterator[Change]:
    """Yield the change of each row that was flushed."""
    # Python generates primary keys, so new rows have theirs.
    for row in _only_versioned(session.new):
        yield "create", row.__tablename__, row.pk, changed_fields(row), value_changes(row)
    for row in _only_versioned(session.dirty):
        if fields := changed_fields(row):
            yield "update", row.__tablename__, row.pk, fields, value_changes(row)
    for row in _only_versioned(session.deleted):
        yield "delete", row.__tablename__, row.pk, [], []


def _only_versioned(rows: Iterable[object]) -> Iterator[Any]:
    return (row for row in rows if isinstance(row, Versioned))


def changed_fields(row: Any) -> list[str]:
    """Return the names of the changed columns and of the changed children of a row."""
    state = inspect(row)
    columns = state.mapper.column_attrs.keys()
    changed = {name for name in columns if state.attrs[name].history.has_changes()}
    hidden = SYSTEM_COLUMNS | {column.name for column in row.__table__.c if db.is_derived(column)}
    return sorted((changed - hidden) | db.names_marked_modified(row))


def value_changes(row: Any) -> list[ValueChange]:
    """Return the former and new values of the columns whose values are audited."""
    names = _audited_columns(row.__tablename__)
    histories = {name: inspect(row).attrs[name].history for name in names}
    return [
        {
            "field": name,
            "from": _value_as_text(history.deleted),
            "to": _value_as_text(history.added),
        }
        for name, history in histories.items()
        if history.has_changes()
    ]


@cache
def _audited_columns(table_name: str) -> list[str]:
    columns = db.Base.metadata.tables[table_name].columns
    return [column.name for column in columns if "audit_values" in column.info]


def _value_as_text(values: Sequence[Any]) -> str | None:
    """Return the value of one side of a history; a list as words, None if there is no value."""
    [value] = values or [None]
    return " ".join(value) if isinstance(value, list) else value


def current_actor_values() -> dict[str, Any]:
    """Return who makes the change: the caller of the request, or else a command's user."""
    current = current_request() if has_request_context() else None
    if current is None or current.is_command:
        return dict.fromkeys(ACTOR_TYPES) | {"os_user": _os_user_name()}
    caller = current.caller
    return {
        "user_id": caller.user_id,
        "token_id": caller.token_id,
        "request_id": current.id,
        "client_request_id": current.client_request_id,
        "client_address": current.logged_address,
        "os_user": None,
    }


@cache
def _os_user_name() -> str:
    """Return the name of the user of this process, or its number if it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def register_listeners() -> None:
    """Write the audit log from now on, for every session of this process."""
    factory = db.session.session_factory
    for event_name, listener in (
        ("after_flush", _write_flushed_and_pending),
        ("before_commit", _write_pending),
        ("after_soft_rollback", _discard_entries_of_rolled_back_savepoint),
    ):
        if not event.contains(factory, event_name, listener):
            event.listen(factory, event_name, listener)
