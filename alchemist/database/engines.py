"""Engines: pooled ones whose connections respect the deadline of a request, and unpooled ones."""

from dataclasses import replace
from typing import Any

import psycopg
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    NullPool,
    create_engine,
    event,
)

from alchemist.config import Settings

from . import deadline_connections, session_limits
from .deadline_connections import CircuitBreaker, DeadlinePool


class UnsupportedEncoding(psycopg.OperationalError):
    """The database does not store text as UTF-8."""


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
        event.listen(engine, "begin", _remove_session_limits)
    return engine


def _remove_session_limits(connection: Connection) -> None:
    """Remove the limits of the database role from a transaction: they are for requests."""
    connection.exec_driver_sql(session_limits.REMOVE_LIMITS)


def create_transaction_and_autocommit_engines(settings: Settings) -> tuple[Engine, Engine]:
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
        for url in _split_url_by_host(settings.replica_url)
    ]


def _split_url_by_host(url: URL) -> list[URL]:
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
        "connect_timeout": deadline_connections.CONNECT_TIMEOUT,
        **session_limits.startup_options(settings),
    }
    if not settings.prepared_statements:
        connect_args["prepare_threshold"] = None
    return connect_args
