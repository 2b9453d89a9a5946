"""Logging: one line of JSON for each request, and for every other log record."""

import json
import logging
import traceback
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, has_request_context
from sqlalchemy.exc import DBAPIError

from alchemist.database import deadline

from .request import request

# Characters of the message of an exception.
MAX_MESSAGE_LENGTH = 500

access_logger = logging.getLogger("alchemist.requests")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON in ASCII, so that no input can forge a line.

    Packages that do this would still need a subclass that removes values from exceptions.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; `extra={"fields": {...}}` of the log call adds members to it."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if has_request_context():
            line["request_id"] = request.id
            if request.client_request_id:
                line["client_request_id"] = request.client_request_id
        line |= getattr(record, "fields", {})
        if record.exc_info and (error := record.exc_info[1]):
            line |= _exception_type_and_message(error) | {
                "stack": "\n".join(_tracebacks_with_causes(error))
            }
        return json.dumps(line, default=str)


def printable(text: str) -> str:
    """Return the text with control and format characters escaped, which could forge output."""
    if text.isprintable():
        return text
    return "".join(char if _is_harmless(char) else ascii(char)[1:-1] for char in text)


def _is_harmless(char: str) -> bool:
    category = unicodedata.category(char)
    return not category.startswith("C") and category not in ("Zl", "Zp")


def _exception_type_and_message(error: BaseException) -> dict[str, str]:
    """Return the type and message of an exception, without values of a statement or a row.

    PostgreSQL's DETAIL contains those of the row, and SQLAlchemy's message the statement.
    """
    fields = {"exception": f"{type(error).__module__}.{type(error).__qualname__}"}
    message = str(error)
    if isinstance(error, DBAPIError):
        diagnostic = getattr(error.orig, "diag", None)
        message = getattr(diagnostic, "message_primary", None) or str(error.orig)
        if sqlstate := getattr(error.orig, "sqlstate", None):
            fields["sqlstate"] = sqlstate
    return fields | {"reason": message.partition("\n")[0][:MAX_MESSAGE_LENGTH]}


def _tracebacks_with_causes(error: BaseException) -> Iterator[str]:
    """Yield the tracebacks of an exception and of its causes, without their messages."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause:
        yield from _tracebacks_with_causes(cause)
    frames = "".join(traceback.format_tb(error.__traceback__))
    yield f"Traceback (most recent call last):\n{frames}{type(error).__qualname__}"


def configure_logging(handlers: Sequence[logging.Handler], level: str) -> None:
    """Send all log records and warnings of this process to these handlers, as JSON."""
    for handler in handlers:
        handler.setFormatter(JsonFormatter())
    logging.root.handlers[:] = handlers
    logging.getLogger("alchemist").setLevel(level.upper())
    logging.captureWarnings(True)


def _log_level_for(status: int) -> int:
    if status == 503 or (status in (401, 403) and _known_caller()):
        return logging.WARNING
    return logging.INFO if status < 500 else logging.ERROR


def log_request(status: int, **fields: Any) -> None:
    """Log a request that was answered with this status."""
    extra = {"fields": {"status": status, **fields}}
    access_logger.log(_log_level_for(status), "Answered %s.", status, extra=extra)


def _log_response(response: Response) -> Response:
    if access_logger.isEnabledFor(_log_level_for(response.status_code)):
        _log_answered_request(response)
    return response


def _known_caller() -> Any:
    """Return the caller of the request if its token belongs or belonged to a user, else None."""
    caller = getattr(request, "caller", None) if has_request_context() else None
    return caller if caller and caller.token_id else None


def _log_answered_request(response: Response) -> None:
    caller = _known_caller()
    address = request.logged_address
    log_request(
        response.status_code,
        method=request.method,
        # Not the path or the query: they may contain personal data.
        route=request.url_rule.rule if request.url_rule else None,
        ms=round(deadline.elapsed_ms(), 2),
        statements=deadline.statement_count(),
        user_id=caller and caller.user_id,
        token_id=caller and caller.token_id,
        **({"client_address": address} if address else {}),
        **_error_log_fields(response.status_code),
    )


def _error_log_fields(status: int) -> dict[str, str]:
    """Return the problem code of the response, and for a 5xx the exception that caused it."""
    error = request.error
    if status < 400 or error is None:
        return {}
    cause_fields = _exception_type_and_message(error.__cause__ or error) if status >= 500 else {}
    missing = [each["permission"] for each in error.errors if "permission" in each]
    permission = {"permission": missing[0]} if missing else {}
    return {"code": error.problem_type.code} | permission | cause_fields


def init_app(app: Flask) -> None:
    """Log each request. Call this first: Flask runs `after_request` functions in reverse order."""
    app.after_request(_log_response)
