"""What each constraint means to a client, declared beside the constraint in the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Constraint,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
)

from .models import Base


@dataclass(frozen=True)
class ConstraintError:
    """What a constraint means to a client.

    `in_use` is said when a row cannot go because another refers to it; `{}` stands for the key
    of the referring row, which is read from the column `referrer` of the referring table.
    """

    code: str
    pointer: str
    detail: str
    in_use: str = ""
    referrer: str = "pk"


def constraint_error(code: str, pointer: str, detail: str, **how: str) -> dict[str, Any]:
    """Return the `info` of a constraint in a model: code and pointer for whoever breaks it."""
    return {"rule": ConstraintError(code, pointer, detail, **how)}


def not_blank(name: str) -> CheckConstraint:
    """Return the constraint that a text has at least one character."""
    told = constraint_error("too-short", f"#/{name}", "Must not be blank.")
    return CheckConstraint(f"{name} <> ''", name, info=told)


def _rule(constraint: Constraint | Index) -> ConstraintError:
    if isinstance(constraint, ForeignKeyConstraint):
        found: ConstraintError = constraint.elements[0].info["rule"]
        return found
    if isinstance(constraint, PrimaryKeyConstraint):
        return ConstraintError("already-exists", "#/pk", "The key is taken.")
    return constraint.info["rule"]  # type: ignore[no-any-return]


def _named(table: Table) -> Iterator[tuple[str, Constraint | Index]]:
    for constraint in table.constraints:
        yield str(constraint.name), constraint
    for index in table.indexes:
        if index.unique:
            yield str(index.name), index


@cache
def constraint_errors() -> dict[str, ConstraintError]:
    """Return the one map from a constraint's name to its meaning, as the models declare it."""
    return {
        name: _rule(constraint)
        for table in Base.metadata.tables.values()
        for name, constraint in _named(table)
    }


@cache
def foreign_keys() -> dict[str, ForeignKeyConstraint]:
    return {
        name: constraint
        for table in Base.metadata.tables.values()
        for name, constraint in _named(table)
        if isinstance(constraint, ForeignKeyConstraint)
    }
