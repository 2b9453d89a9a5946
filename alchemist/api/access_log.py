"""The log: a line of JSON for each request, and for whatever else has something to say."""

import json
import logging
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, has_request_context
from sqlalchemy.exc import DBAPIError

from alchemist.database import deadline

from .request import request

# Characters of what an exception says.
MAX_MESSAGE_LENGTH = 500

access_logger = logging.getLogger("alchemist.requests")


class JsonFormatter(logging.Formatter):
    """Makes a record one line in ASCII, in which no line break or control character can be forged.

    The standard library suffices: packages that do this bring formatters to be configured, and
    would still have to be taught what must not be said of an exception.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if has_request_context():
            line["request_id"] = request.id
        line |= getattr(record, "fields", {})
        if record.exc_info and (error := record.exc_info[1]):
            line |= _exception_fields(error) | {"stack": "\n".join(_stack(error))}
        return json.dumps(line, default=str)


def _exception_fields(error: BaseException) -> dict[str, str]:
    """Return the type of an exception and what it says, without the values of a statement.

    The DETAIL of PostgreSQL holds those of the row, and SQLAlchemy repeats the statement.
    """
    described = {"exception": f"{type(error).__module__}.{type(error).__qualname__}"}
    said = str(error)
    if isinstance(error, DBAPIError):
        diagnosis = getattr(error.orig, "diag", None)
        said = getattr(diagnosis, "message_primary", None) or str(error.orig)
        if state := getattr(error.orig, "sqlstate", None):
            described["sqlstate"] = state
    return described | {"reason": said.partition("\n")[0][:MAX_MESSAGE_LENGTH]}


def _stack(error: BaseException) -> Iterator[str]:
    """Yield where an exception and those behind it came from; what they say is left out."""
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if behind:
        yield from _stack(behind)
    frames = "".join(traceback.format_tb(error.__traceback__))
    yield f"Traceback (most recent call last):\n{frames}{type(error).__qualname__}"


def configure(handlers: Sequence[logging.Handler], level: str) -> None:
    """Let all that this process has to say go through these handlers, in lines."""
    for handler in handlers:
        handler.setFormatter(JsonFormatter())
    logging.root.handlers[:] = handlers
    logging.getLogger("alchemist").setLevel(level.upper())
    logging.captureWarnings(True)


def _level(status: int) -> int:
    if status == 503:
        return logging.WARNING
    return logging.INFO if status < 500 else logging.ERROR


def log_request(status: int, **fields: Any) -> None:
    """Write the line of a request that is answered with a status."""
    told = {"fields": {"status": status, **fields}}
    access_logger.log(_level(status), "Answered %s.", status, extra=told)


def _log_response(response: Response) -> Response:
    if access_logger.isEnabledFor(_level(response.status_code)):
        _log_request_fields(response)
    return response


def _log_request_fields(response: Response) -> None:
    caller = getattr(request, "caller", None)
    log_request(
        response.status_code,
        method=request.method,
        # Not the path or the query: they may hold what nobody should read.
        route=request.url_rule.rule if request.url_rule else None,
        ms=round(deadline.elapsed_ms(), 2),
        statements=deadline.statement_count(),
        user_id=caller and caller.user_id,
        token_id=caller and caller.token_id,
        **_error_fields(response.status_code),
    )


def _error_fields(status: int) -> dict[str, str]:
    """Return why a request was not granted; the cause only if it is not the caller's."""
    if status < 400 or request.error is None:
        return {}
    cause = request.error.__cause__ or request.error
    return {"code": request.error.problem_type.code} | (
        _exception_fields(cause) if status >= 500 else {}
    )


def init_app(app: Flask) -> None:
    """Write a line for each request. Comes before what else looks at answers, to see them last."""
    app.after_request(_log_response)
