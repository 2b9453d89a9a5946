"""What the database refuses, told as refusals: by sqlstate and by the name of the constraint."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from flask import request
from sqlalchemy import (
    CheckConstraint,
    Constraint,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    select,
)
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from alchemist import db, errors
from alchemist.engines import Overdue
from alchemist.problems import PROBLEMS

# Contention, interruption, want of resources: the same request may succeed a moment later.
TRANSIENT_CLASSES = ("08", "40", "53", "57", "58")
TRANSIENT_STATES = ("25006", "25P03", "25P04", "55P03")
REPEATABLE_STATES = ("40001", "40P01")

# Values that validation let pass and that yet cannot be stored: code and detail by sqlstate.
OUT_OF_RANGE = ("out-of-range", "A value is out of range.")
BAD_FORM = ("wrong-type", "A value has another form than what stores it.")
BAD_CHARACTER = ("wrong-type", "A text holds a character that cannot be stored.")
TOO_LONG = ("too-long", "A value is too long to be stored.")
UNSTORABLE = {
    "22001": TOO_LONG,
    "54000": TOO_LONG,
    "22007": BAD_FORM,
    "22P02": BAD_FORM,
    "22021": BAD_CHARACTER,
    "22P05": BAD_CHARACTER,
}


@dataclass(frozen=True)
class Rule:
    """What a constraint means to a client.

    `in_use` is said when a row cannot go because another refers to it; `{}` stands for the key
    of the referring row, which is read from the column `referrer` of the referring table.
    """

    code: str
    pointer: str
    detail: str
    in_use: str = ""
    referrer: str = "pk"


def rule(code: str, pointer: str, detail: str, **how: str) -> dict[str, Any]:
    """Return the `info` of a constraint in a model: code and pointer for whoever breaks it."""
    return {"rule": Rule(code, pointer, detail, **how)}


def not_blank(name: str) -> CheckConstraint:
    """Return the constraint that a text has at least one character."""
    told = rule("too-short", f"#/{name}", "Must not be blank.")
    return CheckConstraint(f"{name} <> ''", name, info=told)


def _rule(constraint: Constraint | Index) -> Rule:
    if isinstance(constraint, ForeignKeyConstraint):
        found: Rule = constraint.elements[0].info["rule"]
        return found
    if isinstance(constraint, PrimaryKeyConstraint):
        return Rule("already-exists", "#/pk", "The key is taken.")
    return constraint.info["rule"]  # type: ignore[no-any-return]


def _named(table: Table) -> Iterator[tuple[str, Constraint | Index]]:
    for constraint in table.constraints:
        yield str(constraint.name), constraint
    for index in table.indexes:
        if index.unique:
            yield str(index.name), index


@cache
def rules() -> dict[str, Rule]:
    """Return the one map from a constraint's name to its meaning, as the models declare it."""
    return {
        name: _rule(constraint)
        for table in db.Base.metadata.tables.values()
        for name, constraint in _named(table)
    }


@cache
def _foreign_keys() -> dict[str, ForeignKeyConstraint]:
    return {
        name: constraint
        for table in db.Base.metadata.tables.values()
        for name, constraint in _named(table)
        if isinstance(constraint, ForeignKeyConstraint)
    }


def repeatable(error: DBAPIError | errors.Outdated) -> bool:
    """Tell whether the request, begun anew, may well succeed, or come to know what is wrong.

    Nothing of it was committed, or what was has the key that it will have again. A row that it
    refers to may have gone since it was looked up, and is looked up again, once.
    """
    if isinstance(error, errors.Outdated):
        return True
    state = sqlstate(error)
    is_first = not getattr(request, "is_begun_anew", False)
    is_of_reference = state == "23503" and request.method != "DELETE" and is_first
    is_of_trust = state.startswith("23") and getattr(request, "is_trusted", False)
    is_repeatable = is_of_reference or is_of_trust or state in REPEATABLE_STATES
    return error.connection_invalidated or is_repeatable


def sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def refusal(error: SQLAlchemyError) -> errors.Refusal | None:
    """Return what an exception of the database means to the client, None if it is a defect."""
    if isinstance(error, StaleDataError):
        return errors.Conflict("The row was changed at the same time.")
    if isinstance(error, Overdue):
        return errors.Unavailable("The request took too long.")
    if isinstance(error, PoolTimeout):
        return errors.Unavailable("Every connection to the database is in use.")
    return _of_driver(error) if isinstance(error, DBAPIError) else None


def _of_driver(error: DBAPIError) -> errors.Refusal | None:
    # NUL is refused by the driver itself, without a state.
    state = sqlstate(error) or ("22021" if isinstance(error, DataError) else "")
    if state == "23502":
        return _null(error)
    if state.startswith("23"):
        return _violation(error)
    if state.startswith("22") or state in UNSTORABLE:
        code, detail = UNSTORABLE.get(state, OUT_OF_RANGE)
        return errors.Invalid(detail, code=code)
    if state.startswith(TRANSIENT_CLASSES) or state in TRANSIENT_STATES:
        return errors.Unavailable("The database is busy.")
    # A connection that could not be made, or was lost, has no sqlstate.
    is_lost = not state and isinstance(error, OperationalError)
    return errors.Unavailable("The database does not answer.") if is_lost else None


def _null(error: DBAPIError) -> errors.Refusal | None:
    """Refuse a null that the client has sent; one that the service has made up is a defect."""
    column = error.orig.diag.column_name  # type: ignore[union-attr]
    sent = getattr(request, "sent", None)
    if not isinstance(sent, dict) or sent.get(column, ...) is not None:
        return None
    return errors.Invalid.at("pointer", f"#/{column}", "This field cannot be null.", "null")


def _violation(error: DBAPIError) -> errors.Refusal | None:
    name = error.orig.diag.constraint_name  # type: ignore[union-attr]
    found = rules().get(name)
    if found is None:
        return None
    # PostgreSQL gives both sides of a reference one name; only a DELETE breaks the far one.
    if request.method == "DELETE" and name in _foreign_keys():
        return _in_use(name, found)
    detail = _taken(found) if found.code == "already-exists" else found.detail
    kind = errors.Conflict if PROBLEMS[found.code].status == 409 else errors.Invalid
    return kind.at("pointer", found.pointer, detail, found.code)


def _taken(found: Rule) -> str:
    """Name the value that is taken, if it is one that the request has sent."""
    sent = getattr(request, "sent", None)
    value = sent.get(found.pointer.removeprefix("#/")) if isinstance(sent, dict) else None
    if value is None:
        return found.detail
    return f"{found.detail} It is {json.dumps(value, ensure_ascii=False)}."


def _in_use(name: str, found: Rule) -> errors.Refusal:
    """Name a few of the rows that still refer to the one of this request."""
    constraint = _foreign_keys()[name]
    table, column = constraint.table, constraint.columns[0]
    pk = (request.view_args or {})["pk"]
    some = select(table.c[found.referrer]).where(column == pk).distinct().limit(10)
    entries: list[errors.Entry] = []
    # Whether they can be read or not, they are there.
    with suppress(SQLAlchemyError):
        entries += [
            {"code": "in-use", "detail": found.in_use.format(pk)} for (pk,) in db.alone(some)
        ]
    return errors.Conflict("Others still refer to it.", entries, code="in-use")
