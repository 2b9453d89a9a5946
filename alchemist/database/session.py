"""The session, and how a statement is run and committed."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from math import inf
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Executable, Row, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from alchemist.config import Settings

from . import autocommit, statement_times
from .engines import create_transaction_and_autocommit_engines
from .queries import Parameters
from .replicas import INSERT_POSITION, POSITION, Replicas
from .wal_position import UNREACHABLE, WalPosition, parse_lsn

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


def execute_compiled(statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
    """Return the rows of a cached statement, run in the transaction of the session.

    SQLAlchemy takes longer to find its own compilation of a large statement than to run it.
    """
    sql, literals, converters, _prepare, _binary = autocommit.compile_cached(statement)
    converted = {name: convert(parameters[name]) for name, convert in converters.items()}
    values = literals | dict(parameters) | converted
    return session.connection().exec_driver_sql(sql, values).all()


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
    position: WalPosition | None = None


_mode = _Mode()


@contextmanager
def use_commit_mode(mode: CommitMode, position: WalPosition | None = None) -> Iterator[None]:
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


def position_of_last_commit() -> WalPosition | None:
    """Return a position after the last commit, or None if standbys are not read by position."""
    replicas = _engines[0].replicas
    if replicas is None or replicas.reads != POSITION:
        return None
    try:
        [(wal_file, lsn)] = fetch_autocommit(INSERT_POSITION)
    except SQLAlchemyError:
        # The commit stands. A client without its position would read an older state.
        return UNREACHABLE
    return WalPosition(int(wal_file[:8], 16), parse_lsn(lsn))


@contextmanager
def rolled_back() -> Iterator[None]:
    """Roll back everything that the block writes."""
    savepoint = session.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()
