"""The plans of a list's statements, as PostgreSQL makes them for any values."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, event, text

PARAMETER = re.compile(r"%\((\w+)\)s")


def recorded(engine: Any, act: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the last statement that `act` runs on the engine, and its parameters."""
    seen: list[tuple[str, Mapping[str, Any]]] = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", record)
    try:
        act()
    finally:
        event.remove(engine, "before_cursor_execute", record)
    return seen[-1]


def generic(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> str:
    """Return the plan that serves every value, the one that a prepared statement ends up with."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        names.append(found[1]) if found[1] not in names else None
        return f"${names.index(found[1]) + 1}"

    numbered = PARAMETER.sub(number, statement).replace("%%", "%")
    connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
    connection.exec_driver_sql(f"PREPARE planned AS {numbered.replace('%', '%%')}")
    values = ", ".join(_literal(parameters[name]) for name in names)
    return _explained(connection, f"EXPLAIN EXECUTE planned({values})", "DEALLOCATE planned")


def custom(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> str:
    """Return the plan for these values."""
    rows = connection.exec_driver_sql(f"EXPLAIN {statement}", dict(parameters)).scalars()
    return "\n".join(rows)


def _explained(connection: Connection, statement: str, after: str) -> str:
    plan = "\n".join(connection.execute(text(statement.replace(":", r"\:"))).scalars())
    connection.exec_driver_sql(after)
    return plan


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return "'{" + ",".join(map(str, value)) + "}'"
    return "'" + str(value).replace("'", "''") + "'"
