"""An assertion about the stored data, and the query for its violations."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, TextualSelect, column, text


@dataclass(frozen=True)
class Assertion:
    """`violations` selects one column, `key`, which identifies a row that breaks the assertion."""

    name: str
    description: str
    violations: TextualSelect


def sql_assertion(name: str, description: str, sql: str, **parameters: Any) -> Assertion:
    """Return the assertion that a SELECT of `key` in SQL returns no rows."""
    statement = text(sql).bindparams(**parameters)
    return Assertion(name, description, statement.columns(column("key", String)))
