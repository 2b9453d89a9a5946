"""Request hooks of v1: the details of the framework's errors, and the headers of every response."""

from datetime import UTC, date, datetime, time
from uuid import UUID

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import http_date
from werkzeug.routing import BaseConverter

from alchemist.api.error_handlers import http_exception_to_api_error
from alchemist.api.request import current_request

from . import DEPRECATION_DATE, PREFIX
from .fields import UUID_PATTERN


class UuidConverter(BaseConverter):
    """A UUID in a path, with or without dashes."""

    regex = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}"

    def to_python(self, value: str) -> UUID:
        return UUID(value)

    def to_url(self, value: UUID) -> str:
        return str(value)

    def to_json_schema(self) -> dict[str, str]:
        return {"type": "string", "pattern": UUID_PATTERN.pattern}


def init_app(app: Flask, sunset: date | None) -> None:
    """Register the hooks and the URL converter; `sunset` is the day when v1 ends (RFC 8594)."""
    app.url_map.converters["uuid_or_hex"] = UuidConverter
    # The v1 services replaced what they could not decode.
    app.config["LENIENT_URL_PREFIX"] = f"{PREFIX}/"
    app.before_request(_raise_routing_error)
    app.config["V1_SUNSET"] = sunset and http_date(datetime.combine(sunset, time(), UTC))
    app.after_request(_add_v1_headers)


def _is_v1() -> bool:
    return f"{current_request().path}/".startswith(f"{PREFIX}/")


def _raise_routing_error() -> None:
    """Raise the routing error with the phrase of its status as detail, as the v1 services did."""
    exception = current_request().routing_exception
    if _is_v1() and isinstance(exception, HTTPException):
        error = http_exception_to_api_error(exception)
        error.detail = exception.name
        raise error


def _add_v1_headers(response: Response) -> Response:
    if _is_v1():
        response.headers["Deprecation"] = DEPRECATION_DATE
        response.headers.add("Link", f'<{_successor_path()}>; rel="successor-version"')
        if sunset := current_app.config["V1_SUNSET"]:
            response.headers["Sunset"] = sunset
    return response


def _successor_path() -> str:
    """Return the path in v2 of the same resource; some views declare one."""
    view = current_app.view_functions.get(request.endpoint or "")
    path_arguments = request.view_args or {}
    declared: str | None = getattr(getattr(view, "view_class", None), "successor", None)
    if declared:
        return declared.format(**path_arguments)
    if view is None:
        return "/api/v2/openapi.json" if current_app.config["HAS_DOCS"] else "/api/v2"
    path = request.path.replace(PREFIX, "/api/v2", 1).rstrip("/")
    if "pk" in path_arguments:
        return f"{path.rpartition('/')[0]}/{path_arguments['pk']}"
    return path
