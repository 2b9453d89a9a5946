"""Run single statements in autocommit on the raw psycopg connection.

Nearly every request is one such statement. Compiled once and run without SQLAlchemy's execution
layer, it costs half the CPU.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from sqlalchemy import ARRAY, Dialect, Engine, Executable, PoolProxiedConnection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from . import engines

DIALECT: Dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]


class CompiledStatement(NamedTuple):
    """The SQL of a statement, and the values of the parameters that it brings itself.

    `converters` make the values that psycopg is passed from those that the caller passes. Two are
    execution options of the statement. If `prepare` is false, PostgreSQL plans each execution for
    its values instead of using a prepared statement. If `binary` is true, it sends bytes as they
    are and not as hexadecimal text.
    """

    sql: str
    bound_literals: dict[str, Any]
    converters: dict[str, Callable[[Any], Any]]
    prepare: bool | None
    binary: bool


_compiled: WeakKeyDictionary[Executable, CompiledStatement] = WeakKeyDictionary()


def compile_cached(statement: Executable) -> CompiledStatement:
    """Return the compiled statement, cached for as long as the statement object lives.

    Raise TypeError for a list of values that SQLAlchemy would write into the SQL.
    """
    if statement not in _compiled:
        _compiled[statement] = _compile(statement)
    return _compiled[statement]


def _compile(statement: Executable) -> CompiledStatement:
    compiled: Any = statement.compile(dialect=DIALECT)  # type: ignore[attr-defined]
    literals, converters = {}, {}
    for name, value in compiled.params.items():
        parameter = compiled.binds[name]
        process = _bind_processor(parameter.type)
        if parameter.expanding or (process and isinstance(parameter.type, ARRAY)):
            raise TypeError(f"Parameter {name} needs SQLAlchemy to convert its value.")
        if not parameter.required:
            literals[name] = process(value) if process else value
        elif process:
            converters[name] = process
    options = statement.get_execution_options()
    return CompiledStatement(
        str(compiled), literals, converters, options.get("prepare"), options.get("binary", False)
    )


def _bind_processor(type_: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """Return the bind processor of a type, or None if psycopg adapts its values itself."""
    item_type = type_.item_type if isinstance(type_, ARRAY) else type_
    return item_type.dialect_impl(DIALECT).bind_processor(DIALECT)


def execute(engine: Engine, statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Any]:
    """Return the rows of a statement, run on an engine in autocommit.

    Raise the exceptions that SQLAlchemy raises: DBAPIError, and TimeoutError of the pool.
    """
    sql, literals, converters, prepare, binary = compile_cached(statement)
    converted = {name: convert(parameters[name]) for name, convert in converters.items()}
    connection: PoolProxiedConnection | None = None
    try:
        connection = engine.raw_connection()
        cursor: Any = connection.cursor()
        values = literals | dict(parameters) | converted
        cursor.execute(sql, values, prepare=prepare, binary=binary)
        return cursor.fetchall()  # type: ignore[no-any-return]
    except psycopg.Error as error:
        raise _convert_error_and_invalidate_if_lost(error, sql, engine, connection) from error
    finally:
        if connection is not None:
            connection.close()


def _convert_error_and_invalidate_if_lost(
    error: psycopg.Error, sql: str, engine: Engine, connection: PoolProxiedConnection | None
) -> BaseException:
    """Return SQLAlchemy's exception for the error; invalidate the connection if it is lost."""
    dbapi_connection: Any = connection and connection.dbapi_connection
    is_lost = dbapi_connection is not None and (
        dbapi_connection.closed or engines.is_connection_useless(error)
    )
    if connection is not None and is_lost:
        pool: Any = engine.pool
        pool.invalidate_older_connections_too(connection, error)
    return DBAPIError.instance(
        sql,
        None,
        error,
        psycopg.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=DIALECT,
    )
