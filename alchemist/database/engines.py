"""Engines, whose connections nobody waits for longer than a request may last."""

from math import isinf
from threading import Lock
from time import monotonic
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen, PQGenConn
from psycopg.errors import _WaitTimeout
from sqlalchemy import (
    Engine,
    ExceptionContext,
    PoolProxiedConnection,
    QueuePool,
    create_engine,
    event,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from alchemist.config import Settings

from . import deadline

# Seconds for an address of the database's to answer at all; libpq takes no less.
CONNECT_TIMEOUT = 2
# Seconds for a request that is over to roll back.
ROLLBACK_TIMEOUT = 0.1
# Seconds between two attempts to reach a database that did not answer.
PROBE_INTERVAL = 1

T = TypeVar("T")


class DeadlineExceeded(PoolTimeout):
    """A request that has no time left for what it would do next."""


class DeadlineCursor(psycopg.Cursor[Any]):
    """Counts its statements, and begins none for which no time is left."""

    def execute(self, *args: Any, **kwargs: Any) -> Self:
        _check_deadline()
        return super().execute(*args, **kwargs)

    def executemany(self, *args: Any, **kwargs: Any) -> None:
        _check_deadline()
        super().executemany(*args, **kwargs)


def _check_deadline() -> None:
    if deadline.remaining() <= 0:
        raise DeadlineExceeded("No time is left for another statement.")
    deadline.count_statement()


class DeadlineConnection(psycopg.Connection[Any]):
    """Waits for PostgreSQL as long as the request may last, and then hangs up.

    The limits of PostgreSQL hold for one statement, and none of them while it is stopped or out of
    reach. It notices the hanging up, and undoes what it was at.
    """

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        left = deadline.remaining()
        if not isinf(left):
            timeout = max(left, ROLLBACK_TIMEOUT)
        try:
            return super().wait(gen, interval, timeout)
        except _WaitTimeout as error:
            self.close()
            raise psycopg.OperationalError("No time is left to wait for an answer.") from error

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn["DeadlineConnection"]:
        """Try one address, if there is time to: the name of a host may have many of them."""
        if deadline.remaining() < CONNECT_TIMEOUT:
            raise psycopg.errors.ConnectionTimeout("No time is left for another address.")
        connection: DeadlineConnection = yield from super()._connect_gen(conninfo)
        return connection


class DeadlinePool(QueuePool):
    """Lets nobody queue whose request would be over before its turn came."""

    def connect(self) -> PoolProxiedConnection:
        if deadline.remaining() < self.timeout():
            raise DeadlineExceeded("No time is left to wait for a connection.")
        return super().connect()

    def lose(self, connection: PoolProxiedConnection, error: BaseException) -> None:
        """Close a connection that has died, and those that are as old when their turn comes.

        `Engine.dispose` would leave open what other threads hold: it comes back to a pool that is
        no longer anybody's.
        """
        self._invalidate(connection, error)


class CircuitBreaker:
    """The way to a database. If nobody answers there, one request at a time asks again.

    Else all threads would wait for it in vain, and none be left for what needs no database.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._silent_until = 0.0

    def connect(
        self, _dialect: object, _record: object, args: Any, options: Any
    ) -> DeadlineConnection:
        if deadline.remaining() < CONNECT_TIMEOUT:
            raise psycopg.OperationalError("No time is left to connect.")
        if not self._may_be_tried():
            raise psycopg.OperationalError("The database did not answer a moment ago.")
        try:
            connection = DeadlineConnection.connect(*args, cursor_factory=DeadlineCursor, **options)
        except psycopg.errors.ConnectionTimeout:
            self._silent_until = monotonic() + PROBE_INTERVAL
            raise
        self._silent_until = 0.0
        return connection

    def _may_be_tried(self) -> bool:
        if not self._silent_until:
            return True
        with self._lock:
            is_due = monotonic() >= self._silent_until
            if is_due:
                self._silent_until = monotonic() + PROBE_INTERVAL
        return is_due


def is_cached_plan_error(error: BaseException) -> bool:
    """Tell whether the prepared statements of a connection are useless, and it with them.

    PostgreSQL refuses them after a migration that changed the type of a column that they return,
    again and again. The error has no state of its own.
    """
    diagnosis = getattr(error, "diag", None)
    return getattr(diagnosis, "source_function", None) == "RevalidateCachedQuery"


def _treat_cached_plan_error_as_disconnect(context: ExceptionContext) -> None:
    """Take a connection that is stale for dead, and its pool with it."""
    if is_cached_plan_error(context.original_exception):
        context.is_disconnect = True


def create_engines(settings: Settings) -> tuple[Engine, Engine]:
    """Return the engines of transactions and of AUTOCOMMIT, each with one connection a thread.

    No pre-ping: a request whose connection turns out dead before its COMMIT runs once more.
    AUTOCOMMIT costs neither BEGIN nor ROLLBACK and keeps what is prepared.
    """
    common: dict[str, Any] = {
        "connect_args": _connect_args(settings),
        "hide_parameters": True,
        "max_overflow": 0,
        "pool_size": settings.threads,
        "pool_timeout": settings.pool_timeout,
        "poolclass": DeadlinePool,
    }
    transaction = create_engine(settings.database_url, **common)
    autocommit = create_engine(
        settings.database_url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **common
    )
    line = CircuitBreaker()
    for engine in (transaction, autocommit):
        event.listen(engine, "do_connect", line.connect)
        event.listen(engine, "handle_error", _treat_cached_plan_error_as_disconnect)
    return transaction, autocommit


def _connect_args(settings: Settings) -> dict[str, Any]:
    limits = {
        "statement_timeout": settings.statement_timeout,
        "lock_timeout": settings.lock_timeout,
        "idle_in_transaction_session_timeout": settings.request_timeout,
        # How soon a statement ends, and lets go of its locks, when nobody waits for it any more.
        "client_connection_check_interval": 0.5,
    }
    options = [f"-c {name}={int(seconds * 1000)}" for name, seconds in limits.items()]
    connect: dict[str, Any] = {
        # Elsewhere the first or the last hours of the calendar are of no year that Python knows.
        "options": " ".join([*options, "-c timezone=UTC"]),
        "application_name": "alchemist",
        "connect_timeout": CONNECT_TIMEOUT,
    }
    if not settings.prepared_statements:
        connect["prepare_threshold"] = None
    return connect
