"""The log: a line of JSON for each request, and for whatever else has something to say."""

import json
import logging
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, has_request_context
from sqlalchemy.exc import DBAPIError

from alchemist import budget
from alchemist.rest.request import request

# Characters of what an exception says.
LONGEST = 500

requests = logging.getLogger("alchemist.requests")


class Lines(logging.Formatter):
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
            line |= _described(error) | {"stack": "\n".join(_stack(error))}
        return json.dumps(line, default=str)


def _described(error: BaseException) -> dict[str, str]:
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
    return described | {"reason": said.partition("\n")[0][:LONGEST]}


def _stack(error: BaseException) -> Iterator[str]:
    """Yield where an exception and those behind it came from; what they say is left out."""
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if behind:
        yield from _stack(behind)
    frames = "".join(traceback.format_tb(error.__traceback__))
    yield f"Traceback (most recent call last):\n{frames}{type(error).__qualname__}"


def install(handlers: Sequence[logging.Handler], level: str) -> None:
    """Let all that this process has to say go through these handlers, in lines."""
    for handler in handlers:
        handler.setFormatter(Lines())
    logging.root.handlers[:] = handlers
    logging.getLogger("alchemist").setLevel(level.upper())
    logging.captureWarnings(True)


def _level(status: int) -> int:
    if status == 503:
        return logging.WARNING
    return logging.INFO if status < 500 else logging.ERROR


def tell(status: int, **fields: Any) -> None:
    """Write the line of a request that is answered with a status."""
    told = {"fields": {"status": status, **fields}}
    requests.log(_level(status), "Answered %s.", status, extra=told)


def _tell(response: Response) -> Response:
    if requests.isEnabledFor(_level(response.status_code)):
        _tell_of(response)
    return response


def _tell_of(response: Response) -> None:
    caller = getattr(request, "caller", None)
    tell(
        response.status_code,
        method=request.method,
        # Not the path or the query: they may hold what nobody should read.
        route=request.url_rule.rule if request.url_rule else None,
        ms=round(budget.duration(), 2),
        statements=budget.statements(),
        user_id=caller and caller.user_id,
        token_id=caller and caller.token_id,
        **_refused(response.status_code),
    )


def _refused(status: int) -> dict[str, str]:
    """Return why a request was not granted; the cause only if it is not the caller's."""
    if status < 400 or request.refusal is None:
        return {}
    cause = request.refusal.__cause__ or request.refusal
    return {"code": request.refusal.problem.code} | (_described(cause) if status >= 500 else {})


def init_app(app: Flask) -> None:
    """Write a line for each request. Comes before what else looks at answers, to see them last."""
    app.after_request(_tell)
