"""Maps database errors to API errors, by SQLSTATE and by constraint name."""

import json
import logging
from contextlib import suppress
from math import isinf

from flask import request
from sqlalchemy import select
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from alchemist import database as db
from alchemist import errors
from alchemist.database import deadline
from alchemist.database.constraints import (
    ConstraintError,
    constraint_errors_by_name,
    foreign_keys_by_name,
)
from alchemist.database.deadline_connections import DeadlineExceeded
from alchemist.errors import PROBLEM_TYPES

logger = logging.getLogger(__name__)

# Contention, shutdown, exhausted resources: the same request may succeed a moment later.
TRANSIENT_CLASSES = ("08", "40", "53", "57", "58")
# A pooler that does not track prepared statements: one exists already, or does not exist.
PREPARED_STATEMENT_SQLSTATES = ("42P05", "26000")
# A write in a read-only transaction. A new connection would often meet the same server at once.
READ_ONLY = "25006"
TRANSIENT_SQLSTATES = (READ_ONLY, "25P03", "25P04", "55P03")
RETRYABLE_SQLSTATES = ("40001", "40P01")

# Values that pass validation but cannot be stored: problem code and detail by SQLSTATE.
OUT_OF_RANGE = ("out-of-range", "A value is out of range.")
INVALID_FORMAT = ("wrong-type", "A value does not have the format of its column.")
INVALID_CHARACTER = ("wrong-type", "A text contains a character that cannot be stored.")
TOO_LONG = ("too-long", "A value is too long to be stored.")
DATA_ERRORS = {
    "22001": TOO_LONG,
    "54000": TOO_LONG,
    "22007": INVALID_FORMAT,
    "22P02": INVALID_FORMAT,
    "22021": INVALID_CHARACTER,
    "22P05": INVALID_CHARACTER,
}


def is_retryable(error: DBAPIError | errors.RetryRequest, *, is_retry: bool = False) -> bool:
    """Return whether repeating the whole request is safe, and may succeed.

    Nothing was committed, or the committed row has the same pk on a retry. A row that was referred
    to may have been deleted since its lookup: one retry finds that out, and reports it.
    """
    if isinstance(error, errors.RetryRequest):
        return True
    state = sqlstate(error)
    if state == READ_ONLY:
        return False
    is_foreign_key_race = state == "23503" and request.method != "DELETE" and not is_retry
    return error.connection_invalidated or is_foreign_key_race or state in RETRYABLE_SQLSTATES


def sqlstate(error: DBAPIError) -> str:
    """Return the SQLSTATE of an error, or the empty string if the driver raised it itself."""
    return getattr(error.orig, "sqlstate", None) or ""


def to_api_error(error: SQLAlchemyError) -> errors.ApiError | None:
    """Return the API error for an exception of the database, or None if it is a bug."""
    if isinstance(error, StaleDataError):
        return errors.Conflict("The row was changed at the same time.")
    if isinstance(error, DeadlineExceeded):
        return errors.ServiceUnavailable(_timeout_detail())
    if isinstance(error, PoolTimeout):
        return errors.ServiceUnavailable("Every connection to the database is in use.")
    return _dbapi_to_api_error(error) if isinstance(error, DBAPIError) else None


def _timeout_detail() -> str:
    limit = deadline.wait_limit()
    if isinf(limit):
        return "The request took too long."
    return (
        f"A search or a count without a token is cancelled after {limit:g} seconds. "
        "Send a token, or search for less."
    )


def _dbapi_to_api_error(error: DBAPIError) -> errors.ApiError | None:
    # psycopg itself rejects NUL, without a SQLSTATE.
    state = sqlstate(error) or ("22021" if isinstance(error, DataError) else "")
    if state == "23502":
        return _not_null_violation_error(error)
    if state.startswith("23"):
        return _constraint_violation_error(error)
    if state.startswith("22") or state in DATA_ERRORS:
        code, detail = DATA_ERRORS.get(state, OUT_OF_RANGE)
        return errors.UnprocessableContent(detail, code=code)
    if state in PREPARED_STATEMENT_SQLSTATES:
        logger.warning(
            "The pooler in front of PostgreSQL does not track prepared statements: set "
            "ALCHEMIST_PREPARED_STATEMENTS=false."
        )
        return errors.ServiceUnavailable("The database cannot be used.")
    if state.startswith(TRANSIENT_CLASSES) or state in TRANSIENT_SQLSTATES:
        return errors.ServiceUnavailable("The database is busy.")
    # A failed or lost connection has no SQLSTATE.
    is_lost = not state and isinstance(error, OperationalError)
    return errors.ServiceUnavailable("The database does not answer.") if is_lost else None


def _not_null_violation_error(error: DBAPIError) -> errors.ApiError | None:
    """Return the error for a null that the client sent; any other null is a bug."""
    column = error.orig.diag.column_name  # type: ignore[union-attr]
    body = getattr(request, "json_body", None)
    if not isinstance(body, dict) or body.get(column, ...) is not None:
        return None
    return errors.UnprocessableContent.at_location(
        "pointer", f"#/{column}", "This field cannot be null.", "not-nullable"
    )


def _constraint_violation_error(error: DBAPIError) -> errors.ApiError | None:
    name = error.orig.diag.constraint_name  # type: ignore[union-attr]
    constraint = constraint_errors_by_name().get(name)
    if constraint is None:
        return None
    # PostgreSQL reports the same name for both sides of a foreign key. Only a DELETE violates it
    # on the referenced side.
    if request.method == "DELETE" and name in foreign_keys_by_name():
        return _still_referenced_error(name, constraint)
    is_duplicate = constraint.code == "already-exists"
    detail = _already_exists_detail(constraint) if is_duplicate else constraint.detail
    is_conflict = PROBLEM_TYPES[constraint.code].status == 409
    error_class = errors.Conflict if is_conflict else errors.UnprocessableContent
    return error_class.at_location("pointer", constraint.pointer, detail, constraint.code)


def _already_exists_detail(constraint: ConstraintError) -> str:
    """Return the detail of a unique violation, with the value if the request contains it."""
    body = getattr(request, "json_body", None)
    name = constraint.pointer.removeprefix("#/")
    value = body.get(name) if isinstance(body, dict) else None
    if value is None:
        return constraint.detail
    return f"{constraint.detail} It is {json.dumps(value, ensure_ascii=False)}."


def _still_referenced_error(name: str, constraint: ConstraintError) -> errors.ApiError:
    """Return the error of a DELETE, with up to ten of the rows that refer to the row."""
    foreign_key = foreign_keys_by_name()[name]
    table, column = foreign_key.table, foreign_key.columns[0]
    pk = (request.view_args or {})["pk"]
    referencing = table.c[constraint.referencing_column]
    stmt = select(referencing).where(column == pk).distinct().limit(10)
    details: list[errors.ErrorDetail] = []
    # The examples help, but the answer is the same without them.
    with suppress(SQLAlchemyError):
        details += [
            {"code": "in-use", "detail": constraint.referenced_detail.format(pk)}
            for (pk,) in db.fetch_autocommit(stmt)
        ]
    return errors.Conflict("Other rows still refer to it.", details, code="in-use")
