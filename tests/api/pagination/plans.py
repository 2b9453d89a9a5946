"""The plans of a list's statements, as PostgreSQL makes them for any values."""

import re
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, text

from alchemist.database import deadline_connections

PARAMETER = re.compile(r"%\((\w+)\)s")


def recorded(function: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the last statement that `function` runs, and its parameters."""
    seen: list[tuple[str, Mapping[str, Any]]] = []

    execute = deadline_connections.DeadlineCursor.execute

    def record(cursor: Any, statement: str, parameters: Any = None, **how: Any) -> Any:
        seen.append((statement, parameters))
        return execute(cursor, statement, parameters, **how)

    with patch.object(deadline_connections.DeadlineCursor, "execute", record):
        function()
    return seen[-1]


def numbered(statement: str) -> tuple[str, list[str]]:
    """Return a statement as psycopg prepares it, and the names of its parameters in order."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        names.append(found[1]) if found[1] not in names else None
        return f"${names.index(found[1]) + 1}"

    return PARAMETER.sub(number, statement).replace("%%", "%"), names


def generic(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> str:
    """Return the plan for any values, the one that a prepared statement may end up with."""
    prepared, names = numbered(statement)
    connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
    connection.exec_driver_sql(f"PREPARE planned AS {prepared.replace('%', '%%')}")
    values = ", ".join(_literal(parameters[name]) for name in names)
    return _explained(connection, f"EXPLAIN EXECUTE planned({values})", "DEALLOCATE planned")


def custom(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> str:
    """Return the plan for these values."""
    rows = connection.exec_driver_sql(f"EXPLAIN {statement}", dict(parameters)).scalars()
    return "\n".join(rows)


def blocks(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> int:
    """Return how many blocks of tables and indexes a statement reads."""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) {statement}"
    plan = connection.exec_driver_sql(explain, dict(parameters)).scalars().all()
    top = next(line for line in plan if "Buffers:" in line)
    return sum(map(int, re.findall(r"(?:hit|read)=(\d+)", top)))


def _explained(connection: Connection, statement: str, after: str) -> str:
    plan = "\n".join(connection.execute(text(statement.replace(":", r"\:"))).scalars())
    connection.exec_driver_sql(after)
    return plan


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return "'{" + ",".join(map(str, value)) + "}'"
    return "'" + str(value).replace("'", "''") + "'"
