"""The API error of each constraint, declared with the constraint in the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Constraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.orm import MappedColumn, Relationship, mapped_column, relationship

from .models import Base, table


@dataclass(frozen=True)
class ConstraintError:
    """The error that a violation of a constraint means: problem code, JSON pointer and detail.

    `referenced_detail` is the detail of a DELETE of a row that others refer to. Its `{}` is
    replaced by the value of `referencing_column` in the referring table.
    """

    code: str
    pointer: str
    detail: str
    referenced_detail: str = ""
    referencing_column: str = "pk"


def constraint_info(code: str, pointer: str, detail: str, **options: str) -> dict[str, Any]:
    """Return the `info` of a constraint in a model; `options` are fields of ConstraintError."""
    return {"error": ConstraintError(code, pointer, detail, **options)}


def check(condition: Any, name: str, error: tuple[str, str, str]) -> CheckConstraint:
    """Return a CHECK constraint; `error` are the code, pointer and detail of ConstraintError."""
    return CheckConstraint(condition, name, info=constraint_info(*error))


def unique(*columns: str, error: tuple[str, str, str]) -> UniqueConstraint:
    """Return a UNIQUE constraint; `error` is as in `check`."""
    return UniqueConstraint(*columns, info=constraint_info(*error))


def not_blank(name: str) -> CheckConstraint:
    """Return the constraint that a text column is not the empty string."""
    return check(f"{name} <> ''", name, ("too-short", f"#/{name}", "Must not be blank."))


def reference_to(
    model: type[Base], pointer: str, referenced_detail: str, *, referencing_column: str = "pk"
) -> MappedColumn[Any]:
    """Return the column with the key of a row that must exist.

    `pointer` is where a body has the key; the other arguments are fields of ConstraintError.
    """
    info = constraint_info(
        "unknown-reference",
        pointer,
        f"The {model.__name__.lower()} does not exist.",
        referenced_detail=referenced_detail,
        referencing_column=referencing_column,
    )
    return mapped_column(ForeignKey(table(model).c.pk, info=info))


def parent_key(model: type[Base], **options: Any) -> MappedColumn[Any]:
    """Return the column with the key of the row to which a child row belongs.

    Children are deleted with it. `options` are those of `mapped_column`.
    """
    detail = f"The {model.__name__.lower()} was deleted at the same time."
    info = constraint_info("conflict", "#", detail)
    return mapped_column(ForeignKey(table(model).c.pk, ondelete="CASCADE", info=info), **options)


def child_rows(model_name: str) -> Relationship[Any]:
    """Return the relationship to rows that belong to one row, in the order of their `position`.

    They are deleted with it. The model with the foreign key declares any other relationship.
    """
    order_by = f"{model_name}.position"
    return relationship(model_name, lazy="raise", order_by=order_by, passive_deletes="all")


def sort_indexes(*names: str) -> list[Index]:
    """Return an index for each column that a list can be sorted or filtered by.

    It has the `pk`, too, which breaks ties.
    """
    return [Index(None, name, "pk") for name in names]


def _declared_error(constraint: Constraint | Index) -> ConstraintError:
    if isinstance(constraint, PrimaryKeyConstraint):
        return ConstraintError("already-exists", "#/pk", "The key is taken.")
    if isinstance(constraint, ForeignKeyConstraint) and not constraint.info:
        return constraint.elements[0].info["error"]  # type: ignore[no-any-return]
    return constraint.info["error"]  # type: ignore[no-any-return]


def _constraints_and_unique_indexes(table: Table) -> Iterator[tuple[str, Constraint | Index]]:
    for constraint in table.constraints:
        yield str(constraint.name), constraint
    for index in table.indexes:
        if index.unique:
            yield str(index.name), index


@cache
def constraint_errors_by_name() -> dict[str, ConstraintError]:
    """Return the error of every constraint and unique index of the models, by its name."""
    return {
        name: _declared_error(constraint)
        for table in Base.metadata.tables.values()
        for name, constraint in _constraints_and_unique_indexes(table)
    }


def unique_constraints(table: Table) -> list[tuple[tuple[Column[Any], ...], ConstraintError]]:
    """Return the columns and the error of each unique constraint or index of a table."""
    return [
        (tuple(constraint.columns), _declared_error(constraint))
        for _name, constraint in _constraints_and_unique_indexes(table)
        if isinstance(constraint, UniqueConstraint | Index)
    ]


@cache
def foreign_keys_by_name() -> dict[str, ForeignKeyConstraint]:
    """Return every foreign key constraint of the models, by its name."""
    return {
        name: constraint
        for table in Base.metadata.tables.values()
        for name, constraint in _constraints_and_unique_indexes(table)
        if isinstance(constraint, ForeignKeyConstraint)
    }
