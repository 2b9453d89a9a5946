"""A span for each statement (OpenTelemetry's semantic conventions for PostgreSQL).

Imported only if traces are on.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Self

import psycopg
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from sqlalchemy import Engine, event

from .deadline_connections import DeadlineCursor
from .models import Base

# An operation and a name, which may be that of a table. `FOR UPDATE OF` and `DO UPDATE SET` change
# nothing themselves.
CHANGE_PATTERN = re.compile(
    r"\b(INSERT) INTO (\w+)|\b(UPDATE) (?!OF\b|SET\b)(\w+)|\b(DELETE) FROM (\w+)"
)
SOURCE_PATTERN = re.compile(r"\b(?:FROM|JOIN) (\w+)")
MAX_SUMMARY_LENGTH = 255


def trace_statements(engine: Engine, tracer: Tracer) -> None:
    """Trace the statements of all connections that the engine opens from now on."""

    class TracedCursor(DeadlineCursor):
        """A cursor with a span for each of its statements."""

        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Self:
            with _statement_span(tracer, self.connection, query):
                return super().execute(query, *args, **kwargs)

        def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
            with _statement_span(tracer, self.connection, query):
                super().executemany(query, *args, **kwargs)

    def use_traced_cursor(connection: psycopg.Connection[Any], _record: object) -> None:
        connection.cursor_factory = TracedCursor

    # Before the listener with which SQLAlchemy asks the server for its version.
    event.listen(engine, "connect", use_traced_cursor, insert=True)


@contextmanager
def _statement_span(
    tracer: Tracer, connection: psycopg.Connection[Any], query: Any
) -> Iterator[None]:
    """Start a span of a statement; its text has placeholders and no values."""
    sql = str(query)
    attributes = _span_attributes(sql) | {"db.namespace": connection.info.dbname}
    span = tracer.start_span(
        attributes["db.query.summary"], kind=SpanKind.CLIENT, attributes=attributes
    )
    try:
        yield
    except Exception as error:
        _mark_span_failed(span, error)
        raise
    finally:
        span.end()


def _mark_span_failed(span: Span, error: Exception) -> None:
    """Mark the span as failed, without the message of the exception, which may have values."""
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate:
        span.set_attribute("db.response.status_code", sqlstate)
    span.set_attribute("error.type", sqlstate or type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR))


@lru_cache(maxsize=512)
def _span_attributes(sql: str) -> dict[str, str]:
    """Return the attributes of each span of a statement."""
    operation, summary = operation_and_summary(sql)
    return {
        "db.system.name": "postgresql",
        "db.query.text": sql,
        "db.query.summary": summary,
        "db.operation.name": operation,
    }


def operation_and_summary(sql: str) -> tuple[str, str]:
    """Return the operation of a statement, and the operations and tables: `INSERT potions`.

    What a statement only reads is left out if it also writes.
    """
    changes = [tuple(filter(None, match)) for match in CHANGE_PATTERN.findall(sql)]
    changes = [change for change in changes if change[1] in Base.metadata.tables]
    if changes:
        words = [word for change in dict.fromkeys(changes) for word in change]
    else:
        sources = dict.fromkeys(SOURCE_PATTERN.findall(sql))
        first_word = "SELECT" if sql.startswith("WITH ") else sql.partition(" ")[0].upper()
        words = [first_word, *(name for name in sources if name in Base.metadata.tables)]
    return words[0], " ".join(words)[:MAX_SUMMARY_LENGTH]
