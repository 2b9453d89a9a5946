"""Maps database errors to API errors, by SQLSTATE and by the name of the constraint."""

import json
from contextlib import suppress

from flask import request
from sqlalchemy import select
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from alchemist import database as db
from alchemist import errors
from alchemist.database.constraints import ConstraintError, constraint_errors, foreign_keys
from alchemist.database.engines import DeadlineExceeded
from alchemist.errors import PROBLEM_TYPES

# Contention, interruption, want of resources: the same request may succeed a moment later.
TRANSIENT_CLASSES = ("08", "40", "53", "57", "58")
TRANSIENT_SQLSTATES = ("25006", "25P03", "25P04", "55P03")
RETRYABLE_SQLSTATES = ("40001", "40P01")

# Values that validation let pass and that yet cannot be stored: code and detail by sqlstate.
OUT_OF_RANGE = ("out-of-range", "A value is out of range.")
INVALID_FORMAT = ("wrong-type", "A value has another form than what stores it.")
INVALID_CHARACTER = ("wrong-type", "A text holds a character that cannot be stored.")
TOO_LONG = ("too-long", "A value is too long to be stored.")
DATA_ERRORS = {
    "22001": TOO_LONG,
    "54000": TOO_LONG,
    "22007": INVALID_FORMAT,
    "22P02": INVALID_FORMAT,
    "22021": INVALID_CHARACTER,
    "22P05": INVALID_CHARACTER,
}


def is_retryable(error: DBAPIError | errors.RetryRequest) -> bool:
    """Tell whether the request, begun anew, may well succeed, or come to know what is wrong.

    Nothing of it was committed, or what was has the key that it will have again. A row that it
    refers to may have gone since it was looked up, and is looked up again, once.
    """
    if isinstance(error, errors.RetryRequest):
        return True
    state = sqlstate(error)
    is_first = not getattr(request, "is_begun_anew", False)
    is_of_reference = state == "23503" and request.method != "DELETE" and is_first
    is_of_trust = state.startswith("23") and getattr(request, "is_trusted", False)
    is_repeatable = is_of_reference or is_of_trust or state in RETRYABLE_SQLSTATES
    return error.connection_invalidated or is_repeatable


def sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def to_api_error(error: SQLAlchemyError) -> errors.ApiError | None:
    """Return what an exception of the database means to the client, None if it is a defect."""
    if isinstance(error, StaleDataError):
        return errors.Conflict("The row was changed at the same time.")
    if isinstance(error, DeadlineExceeded):
        return errors.ServiceUnavailable("The request took too long.")
    if isinstance(error, PoolTimeout):
        return errors.ServiceUnavailable("Every connection to the database is in use.")
    return _of_driver(error) if isinstance(error, DBAPIError) else None


def _of_driver(error: DBAPIError) -> errors.ApiError | None:
    # NUL is refused by the driver itself, without a state.
    state = sqlstate(error) or ("22021" if isinstance(error, DataError) else "")
    if state == "23502":
        return _null(error)
    if state.startswith("23"):
        return _violation(error)
    if state.startswith("22") or state in DATA_ERRORS:
        code, detail = DATA_ERRORS.get(state, OUT_OF_RANGE)
        return errors.UnprocessableContent(detail, code=code)
    if state.startswith(TRANSIENT_CLASSES) or state in TRANSIENT_SQLSTATES:
        return errors.ServiceUnavailable("The database is busy.")
    # A connection that could not be made, or was lost, has no sqlstate.
    is_lost = not state and isinstance(error, OperationalError)
    return errors.ServiceUnavailable("The database does not answer.") if is_lost else None


def _null(error: DBAPIError) -> errors.ApiError | None:
    """Refuse a null that the client has sent; one that the service has made up is a defect."""
    column = error.orig.diag.column_name  # type: ignore[union-attr]
    sent = getattr(request, "sent", None)
    if not isinstance(sent, dict) or sent.get(column, ...) is not None:
        return None
    return errors.UnprocessableContent.at_location(
        "pointer", f"#/{column}", "This field cannot be null.", "not-nullable"
    )


def _violation(error: DBAPIError) -> errors.ApiError | None:
    name = error.orig.diag.constraint_name  # type: ignore[union-attr]
    found = constraint_errors().get(name)
    if found is None:
        return None
    # PostgreSQL gives both sides of a reference one name; only a DELETE breaks the far one.
    if request.method == "DELETE" and name in foreign_keys():
        return _in_use(name, found)
    detail = _taken(found) if found.code == "already-exists" else found.detail
    kind = (
        errors.Conflict if PROBLEM_TYPES[found.code].status == 409 else errors.UnprocessableContent
    )
    return kind.at_location("pointer", found.pointer, detail, found.code)


def _taken(found: ConstraintError) -> str:
    """Name the value that is taken, if it is one that the request has sent."""
    sent = getattr(request, "sent", None)
    value = sent.get(found.pointer.removeprefix("#/")) if isinstance(sent, dict) else None
    if value is None:
        return found.detail
    return f"{found.detail} It is {json.dumps(value, ensure_ascii=False)}."


def _in_use(name: str, found: ConstraintError) -> errors.ApiError:
    """Name a few of the rows that still refer to the one of this request."""
    constraint = foreign_keys()[name]
    table, column = constraint.table, constraint.columns[0]
    pk = (request.view_args or {})["pk"]
    some = select(table.c[found.referrer]).where(column == pk).distinct().limit(10)
    entries: list[errors.ErrorDetail] = []
    # Whether they can be read or not, they are there.
    with suppress(SQLAlchemyError):
        entries += [
            {"code": "in-use", "detail": found.in_use.format(pk)}
            for (pk,) in db.fetch_autocommit(some)
        ]
    return errors.Conflict("Others still refer to it.", entries, code="in-use")
