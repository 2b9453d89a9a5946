"""The request: its caller, its ids, its client, and the state that the layers share."""

import re
from typing import Any, cast
from uuid import UUID

import flask
from uuid_utils import uuid4
from uuid_utils.compat import uuid7
from werkzeug.utils import cached_property

from alchemist import errors
from alchemist.database import WalPosition

from . import trace_context
from .request_body import BodyMixin
from .request_query import QueryMixin
from .trace_context import TraceContext
from .trusted_proxies import HOST_PATTERN, TrustedProxies

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
PROBLEM_JSON = "application/problem+json"
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
# A target in absolute form (RFC 9112 §3.2.2). The group is the host, without user information.
ABSOLUTE_TARGET_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?([^/?#]*)")


class Request(QueryMixin, BodyMixin):
    """Flask's request, with the state that the layers of this service share."""

    # The authenticated caller; `str(caller)` identifies it, for example in idempotency keys.
    caller: Any
    # Whether the caller was cached, None without a valid token.
    is_caller_cached: bool | None = None
    # How many times the view was called again.
    retries = 0
    # Whether a command makes it, and no client.
    is_command = False
    # Whether the operation needs no permission: its responses have no personal data.
    is_public = True
    # Whether all that the operation writes is rolled back.
    is_dry_run = False
    # The error that the request was answered with.
    error: errors.ApiError | None = None
    # The JSON value of the body, once it was read.
    json_body: Any = None

    @cached_property
    def used_permissions(self) -> set[str]:
        """The permissions that this request needed so far, and that its caller has."""
        return set()

    @cached_property
    def id(self) -> str:
        """The X-Request-ID of the response: a new one, so that no client can choose it."""
        return uuid4().hex

    @cached_property
    def client_request_id(self) -> str | None:
        """The X-Request-ID that the client sent, None if its format is not safe to log."""
        header = self.headers.get("X-Request-ID", "")
        return header if REQUEST_ID_PATTERN.fullmatch(header) else None

    @property
    def position(self) -> WalPosition | None:
        """The Alchemist-Position of a write that this read must see; raise BadRequest."""
        header = self.environ.get("HTTP_ALCHEMIST_POSITION")
        try:
            return None if header is None else WalPosition.parse(header)
        except ValueError as error:
            detail = "Send the Alchemist-Position of one response, without changes."
            raise errors.BadRequest.at_location("header", "Alchemist-Position", detail) from error

    @cached_property
    def trace_context(self) -> TraceContext | None:
        """The trace of a tracer or of the client's `traceparent`, None without either."""
        traced: TraceContext | None = self.environ.get(trace_context.ENVIRON_KEY)
        header = self.environ.get("HTTP_TRACEPARENT")
        return traced or (TraceContext.from_header(header, self.id) if header else None)

    @cached_property
    def log_fields(self) -> dict[str, str]:
        """The ids that each log record of the request has."""
        ids = trace_context.log_fields(self.trace_context, self.id)
        client_id = self.client_request_id
        return ids | {"client_request_id": client_id} if client_id else ids

    @cached_property
    def new_pk(self) -> UUID:
        """The key of the row that this request creates, the same in every attempt."""
        return uuid7()

    @property
    def operation_id(self) -> str | None:
        """The operationId of the operation, or the endpoint of what is none; None without a route.

        A HEAD request has that of GET.
        """
        if self.endpoint is None:
            return None
        view = flask.current_app.view_functions[self.endpoint]
        resource = getattr(view, "view_class", None)
        method = "get" if self.method == "HEAD" else self.method.lower()
        if resource is None or method not in resource.permissions:
            return self.endpoint
        name: str = resource.operation_id(method)
        return name

    def accepted_quality(self, media_type: str) -> float:
        """Return the quality of a media type in Accept: that of the most specific range for it.

        Without Accept it is 1 (RFC 9110 §12.5.1).
        """
        ranges: dict[str, float] = {}
        for value, quality in self.accept_mimetypes:
            name = value.partition(";")[0].strip().lower()
            ranges[name] = max(quality, ranges.get(name, 0))
        names = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
        return next((ranges[name] for name in names if name in ranges), 0 if ranges else 1)

    def check_host(self) -> None:
        """Raise BadRequest if HTTP/1.1 lacks Host, or Host is malformed (RFC 9112 §3.2)."""
        host = self.environ.get("HTTP_HOST")
        if host is None and self.environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
            return
        if host is None or not HOST_PATTERN.fullmatch(host):
            detail = "Send one Host: a name or an address, with an optional port."
            raise errors.BadRequest.at_location("header", "Host", detail)

    @property
    def authority(self) -> str:
        """The host of a target in absolute form (RFC 9112 §3.2.2), else the Host header."""
        absolute = ABSOLUTE_TARGET_PATTERN.match(self.raw_target)
        return absolute[1] if absolute else self.host

    @property
    def client_address(self) -> str:
        """The address of the client, or of a proxy that is not trusted; "" on a unix socket."""
        return self._trusted_proxies.client_address(self.environ)

    @property
    def logged_address(self) -> str | None:
        """The client's address for the logs, None unless it is configured."""
        is_logged = app_extensions()["log_client_address"]
        return (self.client_address or None) if is_logged else None

    @cached_property
    def public_origin(self) -> str:
        """The scheme and authority of the client's URL (RFC 6454 §4); "" if they are unknown."""
        authority = self.authority if "HTTP_HOST" in self.environ else ""
        return self._trusted_proxies.origin(self.environ, authority)

    @property
    def _trusted_proxies(self) -> TrustedProxies:
        proxies: TrustedProxies = app_extensions()["trusted_proxies"]
        return proxies


request = cast(Request, flask.request)


def current_request() -> Request:
    """Return the request itself: each attribute of the proxy `request` costs half a microsecond."""
    return cast(Request, flask.request._get_current_object())  # type: ignore[attr-defined]


def app_extensions() -> dict[str, Any]:
    """Return the extensions of the app itself, as `current_request` returns the request."""
    extensions: dict[str, Any] = flask.current_app._get_current_object().extensions  # type: ignore[attr-defined]
    return extensions
