"""Reports of unexpected errors to Sentry: types and stacks of exceptions, and no values."""

import atexit
import logging
from os import environ
from typing import TYPE_CHECKING, Any, cast

import sentry_sdk
from flask import Flask, has_request_context
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.utils import Dsn

import alchemist
from alchemist.api.request import request

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

# Seconds that a worker waits at its end for the last reports to be sent.
FLUSH_TIMEOUT = 3
# What a report has of what the SDK collects. Messages and their arguments may have values.
SAFE_MEMBERS = {
    *("event_id", "timestamp", "platform", "level", "logger", "exception", "sdk"),
    *("release", "environment", "server_name"),
}

# Raises BadDsn, a ValueError, if it is invalid.
Dsn(environ["SENTRY_DSN"])


def init_app(_app: Flask) -> None:
    """Report each error that is logged with an exception, as unexpected ones are."""
    sentry_sdk.init(
        release=environ.get("SENTRY_RELEASE") or f"alchemist@{alchemist.__version__}",
        before_send=_remove_values,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR, sentry_logs_level=None)
        ],
        include_local_variables=False,
        send_default_pii=False,
        max_breadcrumbs=0,
    )
    atexit.register(sentry_sdk.flush, FLUSH_TIMEOUT)


def _remove_values(event: "Event", hint: "Hint") -> "Event | None":
    """Return what may be sent of an event, None if there is no exception."""
    if not hint.get("exc_info"):
        return None
    report: Any = {name: value for name, value in event.items() if name in SAFE_MEMBERS}
    for exception in report["exception"]["values"]:
        exception["value"] = ""
    report.update(_request_members())
    return cast("Event", report)


def _request_members() -> dict[str, Any]:
    """Return the ids, the method and the route of the request, if there is one."""
    if not has_request_context():
        return {}
    route = request.url_rule.rule if request.url_rule else None
    ids = request.log_fields
    return {
        "transaction": f"{request.method} {route}",
        "tags": {"request_id": request.id, "route": route, "method": request.method},
        "contexts": {
            "trace": {
                "trace_id": ids["trace_id"],
                "span_id": ids.get("span_id", request.id[:16]),
            }
        },
    }
