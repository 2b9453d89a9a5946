"""What the models declare, asked of the rows themselves: a restored dump may have skipped it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Computed,
    Constraint,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    Select,
    String,
    Table,
    UniqueConstraint,
    and_,
    cast,
    column,
    exists,
    func,
    literal,
    select,
    text,
    union_all,
)

import alchemist.app  # noqa: F401  registers every model
from alchemist.database import Base

from .assertion import Assertion

TABLES = Base.metadata.sorted_tables
Violations = Select[tuple[str]]
Kind = TypeVar("Kind", bound=Constraint)

# A constraint that is declared and is not in the catalogue, or is there and sleeps.
MISSING_CONSTRAINTS_SQL = """
    SELECT declared.name AS offender
    FROM unnest(CAST(:tables AS text[]), CAST(:names AS text[])) AS declared (owner, name)
    WHERE NOT EXISTS (
        SELECT FROM pg_constraint
        WHERE conrelid = to_regclass(owner) AND conname = name AND convalidated
            AND NOT EXISTS (
                SELECT FROM pg_trigger
                WHERE tgconstraint = pg_constraint.oid AND tgenabled NOT IN ('O', 'A')
            )
    ) AND NOT EXISTS (
        SELECT FROM pg_index
        WHERE indrelid = to_regclass(owner) AND indexrelid = to_regclass(quote_ident(name))
            AND indisunique AND indisvalid
    )
"""


def _offender(table: Table, name: object) -> ColumnElement[str]:
    """Return `<name> of <primary key>`: no values, which may be people's."""
    key = func.concat_ws("/", *(cast(part, String) for part in table.primary_key))
    return literal(f"{name} of ").concat(key)


def _offending(table: Table, name: object, *conditions: ColumnElement[bool]) -> Violations:
    return select(_offender(table, name).label("offender")).where(*conditions)


def _required(table: Table) -> Iterator[Violations]:
    for part in table.columns:
        if not part.nullable:
            yield _offending(table, f"{table.name}.{part.name}", part.is_(None))


def _computed(table: Table) -> Iterator[Violations]:
    for part in table.columns:
        if isinstance(part.computed, Computed):
            expected: Any = text(f"({part.computed.sqltext})")
            differs = part.is_distinct_from(expected)
            yield _offending(table, f"{table.name}.{part.name}", differs)


def _checks(table: Table) -> Iterator[Violations]:
    for check in _of_kind(table.constraints, CheckConstraint):
        is_broken: Any = text(f"NOT ({check.sqltext})")
        yield _offending(table, check.name, is_broken).select_from(table)


def _references(table: Table) -> Iterator[Violations]:
    for key in _of_kind(table.constraints, ForeignKeyConstraint):
        target = key.referred_table.alias("target")
        pairs = [(part.parent, target.c[part.column.name]) for part in key.elements]
        leads_there = exists().where(*(own == theirs for own, theirs in pairs))
        is_set = and_(*(own.is_not(None) for own, _ in pairs))
        yield _offending(table, key.name, is_set, ~leads_there)


def _unique(table: Table) -> Iterator[Violations]:
    for name, parts in _keys(table):
        first = func.min(_offender(table, name)).label("offender")
        is_set = and_(*(part.is_not(None) for part in parts))
        yield select(first).where(is_set).group_by(*parts).having(func.count() > 1)


def _keys(table: Table) -> Iterator[tuple[str, list[Any]]]:
    """Yield the name of whatever says that something is unique, and what that is."""
    for kind in (PrimaryKeyConstraint, UniqueConstraint):
        for constraint in _of_kind(table.constraints, kind):
            yield str(constraint.name), list(constraint.columns)
    for index in table.indexes:
        if index.unique:
            yield str(index.name), list(index.expressions)


def _of_kind(found: Iterable[Constraint], kind: type[Kind]) -> Iterator[Kind]:
    return (one for one in found if isinstance(one, kind))


def _everywhere(
    name: str, sentence: str, of_table: Callable[[Table], Iterator[Violations]]
) -> Assertion:
    found = (contradictions for table in TABLES for contradictions in of_table(table))
    return Assertion(name, sentence, union_all(*found))


def _in_force() -> Assertion:
    declared = [(table.name, name) for table in TABLES for name in _names(table)]
    owners, names = zip(*declared, strict=True)
    query = text(MISSING_CONSTRAINTS_SQL).bindparams(tables=list(owners), names=list(names))
    sentence = "Every declared constraint is in the catalogue, validated and switched on."
    return Assertion("constraints", sentence, query.columns(column("offender", String)))


def _names(table: Table) -> Iterator[str]:
    for kind in (CheckConstraint, ForeignKeyConstraint):
        yield from (str(found.name) for found in _of_kind(table.constraints, kind))
    yield from (name for name, _ in _keys(table))


ASSERTIONS = [
    _in_force(),
    _everywhere("required", "What must not be null is not.", _required),
    _everywhere("checks", "Every row passes the checks of its table.", _checks),
    _everywhere("references", "Every foreign key leads to a row.", _references),
    _everywhere(
        "unique", "What must be unique is, whatever its case where that does not count.", _unique
    ),
    _everywhere("computed", "What is computed from a row is what the row says.", _computed),
]
