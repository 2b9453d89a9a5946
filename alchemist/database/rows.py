"""The verbs that change, lock and audit rows in the session."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import func, select

from alchemist import errors

from .child_inserts import children_of_relationship, insert_children_statement, new_children
from .json_rows import to_json
from .models import Base, Versioned
from .queries import Query
from .session import fetch_one, session

Entity = TypeVar("Entity", bound=Base)


def insert(row: Entity) -> Entity:
    """Insert a new row and its new children, and return the row."""
    session.add(row)
    session.flush()
    for name, children in new_children(row).items():
        statement = insert_children_statement(children_of_relationship(row.__class__, name))
        session.execute(statement, {"new": to_json([children])})
    return row


def update(row: Entity, values: Mapping[str, Any]) -> Entity:
    for name, value in values.items():
        setattr(row, name, value)
    if not session.info.get("is_deferred"):
        session.flush()
    return row


def delete(row: Base) -> None:
    session.delete(row)
    session.flush()


def lock_row(query: Query) -> Any:
    """Lock the row until the transaction ends, and return it.

    Raise NotFound, or Forbidden if the query's `readable` query finds the row. NO KEY: a foreign
    key check of a referring row does not wait for the lock.
    """
    row = session.scalars(
        query.select.with_for_update(key_share=True, of=query.model),
        query.parameters,
        execution_options={"populate_existing": True},
    ).one_or_none()
    if row is None:
        raise forbidden_or_not_found(query)
    return row


def lock_rows(model: Any, pks: Sequence[UUID], references: Sequence[str]) -> Sequence[Any]:
    """Lock the rows with these keys or references, in the order of their keys, and return them."""
    condition = model.pk == func.any(pks)
    if references:
        condition |= model.reference == func.any(references)
    return session.scalars(
        select(model).where(condition).order_by(model.pk).with_for_update(key_share=True, of=model),
        execution_options={"populate_existing": True},
    ).all()


def forbidden_or_not_found(query: Query) -> errors.ApiError:
    """Return Forbidden if the query's `readable` query finds the row, else NotFound."""
    readable = query.readable
    if readable is not None and fetch_one(readable.select, readable.parameters) is not None:
        return errors.Forbidden.missing_permission(query.permission)
    return errors.NotFound(f"{query.model.__name__} does not exist")


def mark_modified(row: Versioned, *names: str) -> None:
    """Mark a row as modified because its child rows changed; the audit log lists `names`."""
    row.updated_at = func.clock_timestamp()
    row.__dict__["_modified_names"] = names_marked_modified(row) | set(names)


def names_marked_modified(row: object) -> set[str]:
    """Return the names with which the row was marked as modified."""
    names: set[str] = row.__dict__.get("_modified_names", set())
    return names


def queue_audit_entry(action: str, model: type[Base], pk: UUID, *names: str) -> None:
    """Queue an audit entry for a change by a statement, which the flush listener cannot see."""
    change: Any = (action, model.__tablename__, pk, sorted(names), [])
    savepoint = session().get_nested_transaction()
    session.info.setdefault("audit_entries", []).append((savepoint, change))
