"""Connections, cursors and pools that never wait longer than the deadline of the request."""

from contextlib import suppress
from math import isinf
from random import randrange
from threading import Lock
from time import monotonic
from typing import Any, Self, TypeVar

import psycopg
from psycopg import _queries, waiting
from psycopg.abc import PQGen, PQGenConn
from psycopg.errors import _WaitTimeout
from sqlalchemy import PoolProxiedConnection, QueuePool
from sqlalchemy.exc import TimeoutError as PoolTimeout

from . import deadline, statement_times

# Seconds for one address of the database to accept a connection; the minimum of libpq.
CONNECT_TIMEOUT = 2
# Seconds that a request past its deadline still has for a ROLLBACK.
ROLLBACK_TIMEOUT = 0.1
# Seconds for PostgreSQL to accept that a statement is canceled, and then to end it.
CANCEL_TIMEOUT = 0.15
# Seconds between two connection attempts while the circuit breaker is open.
PROBE_INTERVAL = 1

# Bytes of a statement up to which psycopg remembers where its placeholders are, for the last 128.
# Its own 4096 are too few for the statements that return orders.
_queries.MAX_CACHED_STATEMENT_LENGTH = 16 * 1024

T = TypeVar("T")


class DeadlineExceeded(PoolTimeout):
    """The deadline of the request leaves no time for the next step."""


class DeadlineCursor(psycopg.Cursor[Any]):
    """A cursor that counts and times its statements, and starts none after the deadline."""

    def execute(self, *args: Any, **kwargs: Any) -> Self:
        _check_deadline_and_count_statement()
        started_at = monotonic()
        try:
            return super().execute(*args, **kwargs)
        finally:
            statement_times.record_statement_time(started_at)

    def executemany(self, *args: Any, **kwargs: Any) -> None:
        _check_deadline_and_count_statement()
        started_at = monotonic()
        try:
            super().executemany(*args, **kwargs)
        finally:
            statement_times.record_statement_time(started_at)


def _check_deadline_and_count_statement() -> None:
    if deadline.remaining() <= 0:
        raise DeadlineExceeded("No time is left for another statement.")
    deadline.count_statement()


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection that is closed when a wait for PostgreSQL reaches the deadline of the request.

    PostgreSQL's own timeouts apply to one statement each, and not at all while the server is
    stopped or unreachable.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Names of prepared statements are numbers. Behind a pooler that does not track them, the
        # statement of another client would run if it had the same name.
        self._prepared._prepared_idx = randrange(2**48)  # noqa: S311

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        longest = deadline.max_wait()
        if not isinf(longest):
            timeout = max(longest, ROLLBACK_TIMEOUT)
        try:
            return super().wait(gen, interval, timeout)
        except _WaitTimeout as error:
            self._cancel_and_close(gen)
            # Another attempt would take as long.
            deadline.expire()
            raise psycopg.OperationalError("No time is left to wait for an answer.") from error

    def _cancel_and_close(self, gen: PQGen[Any]) -> None:
        """End the statement that `gen` waits for, if possible, and close the connection.

        A backend that waits for a synchronous standby does not notice a disconnect. It would stay,
        and with each request there would be one more.
        """
        with suppress(psycopg.Error, OSError):
            self.cancel_safe(timeout=CANCEL_TIMEOUT)
            waiting.wait(gen, self.pgconn.socket, timeout=CANCEL_TIMEOUT)
        self.close()

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn["DeadlineConnection"]:
        """Connect to one of the addresses of the host, if there is time for another attempt."""
        if deadline.remaining() < CONNECT_TIMEOUT:
            raise psycopg.errors.ConnectionTimeout("No time is left for another address.")
        connection: DeadlineConnection = yield from super()._connect_gen(conninfo)
        return connection


class DeadlinePool(QueuePool):
    """A pool that rejects a request at once if its deadline comes before the pool timeout."""

    # How many times a thread waited for a connection, and for how many seconds in all.
    waits = 0
    wait_seconds = 0.0

    def connect(self) -> PoolProxiedConnection:
        if deadline.remaining() < self.timeout():
            raise DeadlineExceeded("No time is left to wait for a connection.")
        if self.checkedout() < self.size():
            return super().connect()
        started_at = monotonic()
        try:
            return super().connect()
        finally:
            self.waits += 1
            self.wait_seconds += monotonic() - started_at

    def invalidate_older_connections_too(
        self, connection: PoolProxiedConnection, error: BaseException
    ) -> None:
        """Close this connection now, and every one that was opened before it at its next checkout.

        `Engine.dispose` would leave the connections that other threads use attached to a discarded
        pool, and open.
        """
        self._invalidate(connection, error)


class CircuitBreaker:
    """Opens connections, and stops trying for a while after a connect timeout.

    Then only one request per second tries again, and the others fail at once. Otherwise all
    threads would wait for the database, and none would be free for requests that do not need it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._open_until = 0.0

    def connect(
        self, _dialect: object, _record: object, args: Any, kwargs: Any
    ) -> DeadlineConnection:
        if deadline.remaining() < CONNECT_TIMEOUT:
            raise psycopg.OperationalError("No time is left to connect.")
        if not self._claim_attempt():
            raise psycopg.OperationalError("The database did not answer a moment ago.")
        try:
            connection = DeadlineConnection.connect(*args, cursor_factory=DeadlineCursor, **kwargs)
        except psycopg.errors.ConnectionTimeout:
            self._open_until = monotonic() + PROBE_INTERVAL
            raise
        self._open_until = 0.0
        return connection

    def _claim_attempt(self) -> bool:
        if not self._open_until:
            return True
        with self._lock:
            is_due = monotonic() >= self._open_until
            if is_due:
                self._open_until = monotonic() + PROBE_INTERVAL
        return is_due
