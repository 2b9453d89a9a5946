"""Engines that never wait longer than the deadline of the request: for pool, connect or query."""

from contextlib import suppress
from dataclasses import replace
from math import isinf
from random import randrange
from threading import Lock
from time import monotonic
from typing import Any, Self, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen, PQGenConn
from psycopg.errors import _WaitTimeout
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    NullPool,
    PoolProxiedConnection,
    QueuePool,
    create_engine,
    event,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from alchemist.config import Settings

from . import deadline, session_limits, statement_times

# Seconds for one address of the database to accept a connection; the minimum of libpq.
CONNECT_TIMEOUT = 2
# Seconds that a request past its deadline still has for a ROLLBACK.
ROLLBACK_TIMEOUT = 0.1
# Seconds for PostgreSQL to accept that a statement is canceled, and then to end it.
CANCEL_TIMEOUT = 0.15
# Seconds between two connection attempts while the circuit breaker is open.
PROBE_INTERVAL = 1

T = TypeVar("T")


class UnsupportedEncoding(psycopg.OperationalError):
    """The database does not store text as UTF-8."""


class DeadlineExceeded(PoolTimeout):
    """The deadline of the request leaves no time for the next step."""


class DeadlineCursor(psycopg.Cursor[Any]):
    """A cursor that counts and times its statements, and starts none after the deadline."""

    def execute(self, *args: Any, **kwargs: Any) -> Self:
        _check_deadline_and_count()
        started_at = monotonic()
        try:
            return super().execute(*args, **kwargs)
        finally:
            statement_times.finish_statement(started_at)

    def executemany(self, *args: Any, **kwargs: Any) -> None:
        _check_deadline_and_count()
        started_at = monotonic()
        try:
            super().executemany(*args, **kwargs)
        finally:
            statement_times.finish_statement(started_at)


def _check_deadline_and_count() -> None:
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

    def invalidate(self, connection: PoolProxiedConnection, error: BaseException) -> None:
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
        if not self._allows_attempt():
            raise psycopg.OperationalError("The database did not answer a moment ago.")
        try:
            connection = DeadlineConnection.connect(*args, cursor_factory=DeadlineCursor, **kwargs)
        except psycopg.errors.ConnectionTimeout:
            self._open_until = monotonic() + PROBE_INTERVAL
            raise
        self._open_until = 0.0
        return connection

    def _allows_attempt(self) -> bool:
        if not self._open_until:
            return True
        with self._lock:
            is_due = monotonic() >= self._open_until
            if is_due:
                self._open_until = monotonic() + PROBE_INTERVAL
        return is_due


def is_cached_plan_error(error: BaseException) -> bool:
    """Return whether PostgreSQL rejected a prepared statement because its result type changed.

    It does so on every execution after a migration changed the type of a column that the
    statement returns, so the connection is useless. The error shares SQLSTATE 0A000 with others;
    it is recognised by its source function.
    """
    diagnostic = getattr(error, "diag", None)
    return getattr(diagnostic, "source_function", None) == "RevalidateCachedQuery"


def is_connection_useless(error: BaseException) -> bool:
    """Return whether the next use of the connection would fail in the same way.

    A read-only connection may be one to a former primary: a new one finds its successor.
    """
    is_read_only = isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
    return is_read_only or is_cached_plan_error(error)


def _discard_useless_connection(context: ExceptionContext) -> None:
    """Let SQLAlchemy discard the connection, and those of its pool that are as old."""
    if is_connection_useless(context.original_exception):
        context.is_disconnect = True


def _check_server_encoding(connection: psycopg.Connection[Any], _record: object) -> None:
    """Close a new connection and raise UnsupportedEncoding unless the database has UTF-8.

    Other encodings lack characters, or (SQL_ASCII) count bytes instead of characters.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        connection.close()
        raise UnsupportedEncoding(
            f"The encoding of the database is {encoding}: create it with ENCODING 'UTF8'."
        )


def create_unpooled_engine(url: URL, **options: Any) -> Engine:
    """Return the engine of a command, whose few connections have no deadline.

    `options` are those of `create_engine`. Prepared statements are off: each statement runs only a
    few times, and PgBouncer before 1.21 rejects them.
    """
    connect_args = {
        "client_encoding": "utf8",
        "connect_timeout": 5,
        "fallback_application_name": "alchemist command",
        "prepare_threshold": None,
    }
    engine = create_engine(
        url, poolclass=NullPool, connect_args=connect_args, hide_parameters=True, **options
    )
    event.listen(engine, "connect", _check_server_encoding)
    # Whoever sets options in the URL means them for commands, too.
    if not session_limits.url_options(url):
        event.listen(engine, "begin", _remove_limits)
    return engine


def _remove_limits(connection: Connection) -> None:
    """Remove the limits of the database role from a transaction: they are for requests."""
    connection.exec_driver_sql(session_limits.REMOVE_LIMITS)


def create_engines(settings: Settings) -> tuple[Engine, Engine]:
    """Return the engine for transactions and the one for autocommit.

    With fewer connections than threads, threads wait for them.
    """
    breaker = CircuitBreaker()
    return _create_pooled_engine(settings, breaker), _create_autocommit_engine(settings, breaker)


def create_replica_engines(settings: Settings) -> list[Engine]:
    """Return an engine for autocommit on each standby, with a connection more for checks."""
    if settings.replica_url is None:
        return []
    return [
        _create_autocommit_engine(
            replace(settings, database_url=url),
            CircuitBreaker(),
            pool_size=settings.connections_per_pool + 1,
        )
        for url in _urls_of_hosts(settings.replica_url)
    ]


def _urls_of_hosts(url: URL) -> list[URL]:
    """Return the URL of each host of a URL, which may have several as in libpq."""
    parameters = url.get_dialect()().create_connect_args(url)[1]
    hosts = str(parameters.get("host", "")).split(",")
    ports = str(parameters.get("port", "")).split(",")
    base = url.set(host=None, port=None).difference_update_query(["host", "port"])
    return [
        base.update_query_dict({"host": host} | ({"port": port} if port else {}))
        for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True)
    ]


def _create_autocommit_engine(
    settings: Settings, breaker: CircuitBreaker, **options: Any
) -> Engine:
    # Autocommit saves BEGIN and ROLLBACK, and keeps prepared statements, which psycopg drops on
    # ROLLBACK.
    return _create_pooled_engine(
        settings, breaker, isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **options
    )


def _create_pooled_engine(settings: Settings, breaker: CircuitBreaker, **options: Any) -> Engine:
    # No `pool_pre_ping`: a request that loses its connection before COMMIT is retried.
    common: dict[str, Any] = {
        "connect_args": _connect_args(settings),
        "hide_parameters": True,
        "max_overflow": 0,
        "pool_size": settings.connections_per_pool,
        "pool_timeout": settings.pool_timeout,
        "poolclass": DeadlinePool,
    }
    engine = create_engine(settings.database_url, **common | options)
    event.listen(engine, "do_connect", breaker.connect)
    event.listen(engine, "connect", _check_server_encoding)
    event.listen(engine, "handle_error", _discard_useless_connection)
    return engine


def _connect_args(settings: Settings) -> dict[str, Any]:
    connect_args: dict[str, Any] = {
        "fallback_application_name": "alchemist",
        "client_encoding": "utf8",
        "connect_timeout": CONNECT_TIMEOUT,
        **session_limits.startup_options(settings),
    }
    if not settings.prepared_statements:
        connect_args["prepare_threshold"] = None
    return connect_args
