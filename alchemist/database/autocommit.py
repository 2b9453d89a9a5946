"""Statements that are transactions of their own: compiled by SQLAlchemy once, run by psycopg.

Nearly every request is one such statement, and run by SQLAlchemy it costs twice as much.
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
    """The text of a statement, and the values that stand in it already.

    With `prepare` false, an option of the statement, PostgreSQL plans it anew for its values.
    """

    text: str
    values: dict[str, Any]
    prepare: bool | None


_compiled: WeakKeyDictionary[Executable, CompiledStatement] = WeakKeyDictionary()


def compile_cached(statement: Executable) -> CompiledStatement:
    """Return what is kept for as long as the statement is; whoever needs it again keeps that."""
    if statement not in _compiled:
        _compiled[statement] = _compile(statement)
    return _compiled[statement]


def _compile(statement: Executable) -> CompiledStatement:
    """Compile a statement; raise TypeError if psycopg could not send its parameters as they are."""
    found: Any = statement.compile(dialect=DIALECT)  # type: ignore[attr-defined]
    values = {}
    for name, value in found.params.items():
        parameter = found.binds[name]
        convert = _bind_processor(parameter.type)
        if parameter.expanding or (convert and parameter.required):
            raise TypeError(f"Parameter {name} is one that SQLAlchemy converts.")
        if not parameter.required:
            values[name] = convert(value) if convert else value
    return CompiledStatement(str(found), values, statement.get_execution_options().get("prepare"))


def _bind_processor(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """Return what makes of a value what psycopg knows, None if it knows the value itself."""
    one = kind.item_type if isinstance(kind, ARRAY) else kind
    return one.dialect_impl(DIALECT).bind_processor(DIALECT)


def execute(engine: Engine, statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Any]:
    """Return the rows of a statement, run in AUTOCOMMIT; raise what SQLAlchemy would."""
    text, values, prepare = compile_cached(statement)
    connection: PoolProxiedConnection | None = None
    try:
        connection = engine.raw_connection()
        cursor: Any = connection.cursor()
        cursor.execute(text, values | dict(parameters), prepare=prepare)
        return cursor.fetchall()  # type: ignore[no-any-return]
    except psycopg.Error as error:
        raise _as_dbapi_error(error, text, engine, connection) from error
    finally:
        if connection is not None:
            connection.close()


def _as_dbapi_error(
    error: psycopg.Error, text: str, engine: Engine, connection: PoolProxiedConnection | None
) -> BaseException:
    """Return the error as SQLAlchemy would tell it; discard the connection if it is lost."""
    driver: Any = connection and connection.dbapi_connection
    is_lost = driver is not None and (driver.closed or engines.is_cached_plan_error(error))
    if connection is not None and is_lost:
        pool: Any = engine.pool
        pool.lose(connection, error)
    return DBAPIError.instance(
        text,
        None,
        error,
        psycopg.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=DIALECT,
    )
