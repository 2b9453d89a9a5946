"""Formats of log records: lines of JSON for programs, and short lines of text for people."""

import json
import logging
import os
import traceback
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from flask import has_request_context
from sqlalchemy.exc import DBAPIError

from .request import request

# Characters of the message of an exception.
MAX_MESSAGE_LENGTH = 500
# ANSI colours, by the first digit of a status.
STATUS_COLOURS = {2: 32, 3: 36, 4: 33, 5: 31}
LEVEL_COLOURS = {"WARNING": 33, "ERROR": 31, "CRITICAL": 31}


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
            line |= request.log_fields
        line |= getattr(record, "fields", {})
        if record.exc_info and (error := record.exc_info[1]):
            line |= exception_type_and_message(error) | {
                "stack": "\n".join(_tracebacks_with_causes(error))
            }
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Formats a request as `12:03:04 GET /api/v2/potions 200 3.2 ms`, and other records alike."""

    def __init__(self, *, has_colours: bool) -> None:
        super().__init__()
        self.has_colours = has_colours

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, with the stack of an exception in more lines."""
        time = datetime.fromtimestamp(record.created).astimezone()
        fields = getattr(record, "fields", {})
        words = (
            self._format_request(record, fields)
            if "status" in fields
            else self._format_message(record)
        )
        lines = [f"{time:%H:%M:%S} {words}"]
        error = record.exc_info[1] if record.exc_info else None
        reasons = exception_type_and_message(error) if error else fields
        if "reason" in reasons:
            lines.append(escape_unprintable(f"  {reasons['exception']}: {reasons['reason']}"))
        if error:
            stack = "\n".join(_tracebacks_with_causes(error))
            lines += [f"  {escape_unprintable(line)}" for line in stack.split("\n")]
        return "\n".join(lines)

    def _format_request(self, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        status = fields["status"]
        words = [
            escape_unprintable(fields.get("method", "")),
            escape_unprintable(getattr(record, "url_path", None) or ""),
            self._coloured(str(status), STATUS_COLOURS.get(status // 100)),
            f"{fields['ms']:.1f} ms" if "ms" in fields else "",
            fields.get("code", ""),
        ]
        return " ".join(filter(None, words))

    def _format_message(self, record: logging.LogRecord) -> str:
        message = escape_unprintable(record.getMessage())
        colour = LEVEL_COLOURS.get(record.levelname)
        return (
            f"{self._coloured(record.levelname.lower(), colour)} {message}" if colour else message
        )

    def _coloured(self, text: str, colour: int | None) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.has_colours and colour else text


def is_probe_or_worker_start(record: logging.LogRecord) -> bool:
    """Return whether the record is a request of the liveness check, or a start of a worker."""
    is_liveness = getattr(record, "url_path", None) == "/livez"
    return is_liveness or str(record.msg).startswith("Booting worker")


def create_formatter(log_format: str, *, is_terminal: bool) -> logging.Formatter:
    """Return the formatter for `json`, `text` or `auto`, which is text on a terminal.

    NO_COLOR, if it is not empty, switches colours off (no-color.org).
    """
    if log_format == "json" or (log_format == "auto" and not is_terminal):
        return JsonFormatter()
    return TextFormatter(has_colours=is_terminal and not os.environ.get("NO_COLOR"))


def escape_unprintable(text: str) -> str:
    """Return the text with control and format characters escaped, which could forge output."""
    if text.isprintable():
        return text
    return "".join(char if _is_printable(char) else ascii(char)[1:-1] for char in text)


def _is_printable(char: str) -> bool:
    category = unicodedata.category(char)
    return not category.startswith("C") and category not in ("Zl", "Zp")


def exception_type_and_message(error: BaseException) -> dict[str, str]:
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
