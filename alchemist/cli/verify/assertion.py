"""An assertion about the stored data, and the search for its violations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, String, column, func, select, text

MAX_KEYS = 10


@dataclass(frozen=True)
class Assertion:
    """`find_violations` returns how many there are, and the keys of the first MAX_KEYS."""

    name: str
    description: str
    find_violations: Callable[[Connection], tuple[int, list[str]]]


def sql_assertion(name: str, description: str, sql: str, **parameters: Any) -> Assertion:
    """Return the assertion that a SELECT of `key` in SQL returns no rows."""
    statement = text(sql).bindparams(**parameters)
    violations = statement.columns(column("key", String)).subquery()
    first_keys = (
        select(violations.c.key, func.count().over()).order_by(violations.c.key).limit(MAX_KEYS)
    )

    def find_violations(connection: Connection) -> tuple[int, list[str]]:
        rows = connection.execute(first_keys).all()
        return rows[0][1] if rows else 0, [key for key, _count in rows]

    return Assertion(name, description, find_violations)
