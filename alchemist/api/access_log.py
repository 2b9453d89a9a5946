"""The access log: one record for each request, and the configuration of all logging."""

import logging
import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from flask import Flask, Response, current_app, has_request_context

from alchemist.database import deadline

from . import log_formats
from .log_formats import exception_type_and_message
from .request import request

# Characters of a path and of the User-Agent header.
MAX_PATH_LENGTH, MAX_USER_AGENT_LENGTH = 500, 200
# Those of a path that need no percent-encoding (RFC 3986 §3.3).
PATH_CHARACTERS = "/!$&'()*+,;=:@"

access_logger = logging.getLogger("alchemist.requests")
statement_logger = logging.getLogger("alchemist.statements")


def configure_logging(
    handlers: Sequence[logging.Handler], level: str, log_format: str = "json"
) -> None:
    """Send all log records and warnings of this process to these handlers.

    The text for people leaves out what only an operator needs.
    """
    for handler in handlers:
        stream = getattr(handler, "stream", None)
        is_terminal = stream is not None and stream.isatty()
        handler.setFormatter(log_formats.create_formatter(log_format, is_terminal=is_terminal))
        if isinstance(handler.formatter, log_formats.TextFormatter):
            handler.addFilter(lambda record: not log_formats.is_probe_or_worker_start(record))
    logging.root.handlers[:] = handlers
    logging.getLogger("alchemist").setLevel(level.upper())
    logging.captureWarnings(True)


def _log_level_for(status: int) -> int:
    if status == 503 or (status in (401, 403) and _caller_with_token_or_none()):
        return logging.WARNING
    return logging.INFO if status < 500 else logging.ERROR


def log_request(status: int, *, url_path: str | None = None, **fields: Any) -> None:
    """Log a request that was answered with this status. Only the text for people has the path."""
    extra = {"fields": {"status": status, **fields}, "url_path": url_path}
    access_logger.log(_log_level_for(status), "Answered %s.", status, extra=extra)


def _log_response(response: Response) -> Response:
    for name, seconds in deadline.slow_statements():
        _log_slow_statement(name, seconds)
    status = response.status_code
    if access_logger.isEnabledFor(_log_level_for(status)) and _is_sampled(status):
        _log_answered_request(response)
    return response


def _log_slow_statement(name: str, seconds: float) -> None:
    """Log the operation and the function that ran the statement, and no values."""
    fields = {"operation": request.operation_id, "query": name, "ms": round(seconds * 1000, 2)}
    message = "A statement of %s took %d ms, run by %s."
    args = (fields["operation"], fields["ms"], name)
    statement_logger.warning(message, *args, extra={"fields": fields})


def _is_sampled(status: int) -> bool:
    """Return whether the request is logged: each error, and the configured share of the others."""
    return status >= 400 or random.random() < current_app.extensions["log_success_sample_rate"]  # noqa: S311


def _caller_with_token_or_none() -> Any:
    """Return the caller of the request if its token belongs or belonged to a user, else None."""
    caller = getattr(request, "caller", None) if has_request_context() else None
    return caller if caller and caller.token_id else None


def _log_answered_request(response: Response) -> None:
    caller = _caller_with_token_or_none()
    path = quote(request.path, safe=PATH_CHARACTERS)[:MAX_PATH_LENGTH]
    log_request(
        response.status_code,
        url_path=path,
        method=request.method,
        # Not the query, and the path only without a route: they may contain personal data.
        **_route_fields(path),
        **({"dry_run": True} if request.is_dry_run else {}),
        ms=round(deadline.elapsed_ms(), 2),
        statements=deadline.statement_count(),
        **({"replica": True} if deadline.has_read_replica() else {}),
        user_id=caller and caller.user_id,
        token_id=caller and caller.token_id,
        **_client_fields(),
        **_error_log_fields(response.status_code),
    )


def _route_fields(path: str) -> dict[str, str | None]:
    return {"route": request.url_rule.rule} if request.url_rule else {"route": None, "path": path}


def _client_fields() -> dict[str, str]:
    """Return the address and the program of the client, as far as they are configured."""
    fields = {}
    if address := request.logged_address:
        fields["client_address"] = address
    if current_app.extensions["log_user_agent"]:
        fields["user_agent"] = request.headers.get("User-Agent", "")[:MAX_USER_AGENT_LENGTH]
    return fields


def _error_log_fields(status: int) -> dict[str, str]:
    """Return the problem code of the response, and for a 5xx the exception that caused it."""
    error = request.error
    if status < 400 or error is None:
        return {}
    cause_fields = exception_type_and_message(error.__cause__ or error) if status >= 500 else {}
    missing = [each["permission"] for each in error.errors if "permission" in each]
    permission = {"permission": missing[0]} if missing else {}
    return {"code": error.problem_type.code} | permission | cause_fields


def init_app(app: Flask, *, log_user_agent: bool, success_sample_rate: float) -> None:
    """Log each request. Call this first: Flask runs `after_request` functions in reverse order."""
    app.extensions["log_user_agent"] = log_user_agent
    app.extensions["log_success_sample_rate"] = success_sample_rate
    app.after_request(_log_response)
