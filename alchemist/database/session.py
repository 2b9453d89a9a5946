"""The session, how a statement is run, and the verbs that change rows."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from math import inf
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine, Executable, Row, event, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from alchemist import errors
from alchemist.config import Settings

from . import autocommit, statement_times
from .child_rows import children_of_relationship, insert_from_json_statement, new_children
from .engines import create_transaction_and_autocommit_engines
from .json_rows import to_json
from .models import Base, Versioned
from .queries import Parameters, Query
from .replicas import INSERT_POSITION, POSITION, UNREACHABLE, Position, Replicas, parse_lsn

session = scoped_session(sessionmaker(expire_on_commit=False))


class Engines(NamedTuple):
    """The pools of a service: for transactions, for single statements, and those of standbys."""

    transaction: Engine
    autocommit: Engine
    replicas: Replicas | None = None

    def by_name(self) -> dict[str, Engine]:
        """Return all engines by the names of their pools; that of a standby is its host."""
        replicas = self.replicas.engines_by_name() if self.replicas else {}
        return {"transaction": self.transaction, "autocommit": self.autocommit, **replicas}

    def dispose(self) -> None:
        for pool in (self.transaction, self.autocommit, self.replicas):
            if pool is not None:
                pool.dispose()


_engines: list[Engines] = []


def configure_engines(settings: Settings) -> Engines:
    """Create the engines that `settings` describe, and use them from now on; return them."""
    transaction, autocommit = create_transaction_and_autocommit_engines(settings)
    engines = Engines(transaction, autocommit, Replicas.create_if_configured(settings, autocommit))
    statement_times.slow_from = settings.slow_statement_time or inf
    use_engines(engines)
    return engines


def use_engines(engines: Engines) -> None:
    """Run every statement of this process on these engines."""
    _engines[:] = [engines]
    session.configure(bind=engines.transaction)


def current_engines() -> Engines:
    """Return the engines in use."""
    return _engines[0]


def begin_separate_transaction() -> AbstractContextManager[Connection]:
    """Return a connection with a transaction of its own, committed at the end of the block."""
    return current_engines().transaction.begin()


def fetch_one(statement: Executable, parameters: Parameters = None) -> Row[Any] | None:
    """Return the first row of a statement, or None; what a standby lacks, the primary may have."""
    rows = _fetch_from_replica(statement, parameters) or _fetch_from_primary(statement, parameters)
    return rows[0] if rows else None


def fetch_all(statement: Executable, parameters: Parameters = None) -> Sequence[Row[Any]]:
    """Return the rows of a statement, committed as the commit mode says."""
    rows = _fetch_from_replica(statement, parameters)
    return _fetch_from_primary(statement, parameters) if rows is None else rows


def _fetch_from_replica(statement: Executable, parameters: Parameters) -> Sequence[Row[Any]] | None:
    """Return the rows of a statement, or None outside of AUTOCOMMIT_READ or without a standby."""
    replicas = _engines[0].replicas
    if replicas is None or _mode.current is not CommitMode.AUTOCOMMIT_READ:
        return None
    return replicas.fetch_all(statement, parameters or {}, _mode.position)


def _fetch_from_primary(statement: Executable, parameters: Parameters) -> Sequence[Row[Any]]:
    if _mode.current is CommitMode.SESSION:
        return session.execute(statement, parameters).all()
    return fetch_autocommit(statement, parameters)


class CommitMode(Enum):
    """How the statements of an operation are committed.

    AUTOCOMMIT: each by itself, on a connection that is returned at once; the session is closed.
    AUTOCOMMIT_READ: like AUTOCOMMIT, and a standby may answer them.
    SESSION: all of them together, by the commit of the session.
    """

    AUTOCOMMIT = "autocommit"
    AUTOCOMMIT_READ = "autocommit-read"
    SESSION = "session"


class _Mode(threading.local):
    # Outside of a request there is a script or a test, which uses the session.
    current = CommitMode.SESSION
    # What a standby must have replayed, if it answers.
    position: Position | None = None


_mode = _Mode()


@contextmanager
def use_commit_mode(mode: CommitMode, position: Position | None = None) -> Iterator[None]:
    """Run the statements of this thread in `mode` until the block ends.

    In AUTOCOMMIT_READ mode, a standby answers only if it has replayed `position`.
    """
    before = _mode.current, _mode.position
    _mode.current, _mode.position = mode, position
    try:
        yield
    finally:
        _mode.current, _mode.position = before


def uses_session_transaction() -> bool:
    """Return whether statements share the transaction of the session."""
    return _mode.current is CommitMode.SESSION


def _check_session_is_allowed(_session: Session, _transaction: object, _connection: object) -> None:
    if not uses_session_transaction():
        raise RuntimeError("The session is closed to an operation that is declared AUTOCOMMIT.")


event.listen(session.session_factory, "after_begin", _check_session_is_allowed)


def fetch_autocommit(statement: Executable, parameters: Parameters = None) -> Sequence[Row[Any]]:
    """Return the rows of a statement, run on the primary, in AUTOCOMMIT in every mode."""
    engine = _engines[0].autocommit
    try:
        return autocommit.execute(engine, statement, parameters or {})
    except DBAPIError as error:
        # A stale pooled connection: its pool was invalidated, so one retry gets a fresh one.
        if not error.connection_invalidated:
            raise
        return autocommit.execute(engine, statement, parameters or {})


def position_of_last_commit() -> Position | None:
    """Return a position after the last commit, or None if standbys are not read by position."""
    replicas = _engines[0].replicas
    if replicas is None or replicas.reads != POSITION:
        return None
    try:
        [(wal_file, lsn)] = fetch_autocommit(INSERT_POSITION)
    except SQLAlchemyError:
        # The commit stands. A client without its position would read an older state.
        return UNREACHABLE
    return Position(int(wal_file[:8], 16), parse_lsn(lsn))


Entity = TypeVar("Entity", bound=Base)


def insert(row: Entity) -> Entity:
    """Insert a new row and its new children, and return the row."""
    session.add(row)
    session.flush()
    for name, children in new_children(row).items():
        statement = insert_from_json_statement(children_of_relationship(type(row), name).table)
        session.execute(statement, {"new": to_json(children)})
    return row


def forbidden_or_not_found(query: Query) -> errors.ApiError:
    """Return Forbidden if the query's `readable` query finds the row, else NotFound."""
    readable = query.readable
    if readable is not None and fetch_one(readable.select, readable.parameters) is not None:
        return errors.Forbidden.missing_permission(query.permission)
    return errors.NotFound(f"{query.model.__name__} does not exist")


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


def update(row: Entity, values: Mapping[str, Any]) -> Entity:
    for name, value in values.items():
        setattr(row, name, value)
    if not session.info.get("is_deferred"):
        session.flush()
    return row


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


@contextmanager
def rolled_back() -> Iterator[None]:
    """Roll back everything that the block writes."""
    savepoint = session.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def delete(row: Base) -> None:
    session.delete(row)
    session.flush()
