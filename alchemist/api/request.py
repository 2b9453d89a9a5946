"""The request: its id, its URL in strict UTF-8, its query parameters and its whole body."""

import re
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from typing import Any, cast
from urllib.parse import parse_qsl, unquote_to_bytes
from uuid import UUID

import flask
from gunicorn.http.errors import ParseException
from uuid_utils import uuid4
from uuid_utils.compat import uuid7
from werkzeug.utils import cached_property

from alchemist import errors
from alchemist.database import WalPosition
from alchemist.errors import ErrorDetail

from . import trace_context
from .trace_context import TraceContext
from .trusted_proxies import HOST_PATTERN, TrustedProxies

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
PROBLEM_JSON = "application/problem+json"
# Both in bytes.
MAX_BODY = 1024 * 1024
MAX_DRAINED = MAX_BODY + 64 * 1024
MAX_PARAMETERS = 100
# The operations of these methods take the query parameter `dry_run`, except those of version 1.
WRITING_METHODS = ("POST", "PATCH", "DELETE")
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
# A target in absolute form (RFC 9112 §3.2.2). The group is the host, without user information.
ABSOLUTE_TARGET_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?([^/?#]*)")
BAD_ESCAPE_PATTERN = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Request(flask.Request):
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

    @cached_property
    def is_lenient(self) -> bool:
        """Whether the path is below LENIENT_URL_PREFIX, where errors of the query are ignored."""
        prefix = flask.current_app.config.get("LENIENT_URL_PREFIX")
        return prefix is not None and f"{self.path}/".startswith(prefix)

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

    @property
    def raw_target(self) -> str:
        """The request target as it was sent, percent-encoded."""
        target: str = self.environ.get("RAW_URI") or self.environ.get("REQUEST_URI") or ""
        return target

    def check_url_encoding(self) -> None:
        """Raise BadRequest unless the URL is percent-encoded UTF-8 (RFC 3986 §2.1).

        WSGI would replace silently what it cannot decode.
        """
        target = self.raw_target
        if self.is_lenient or ("%" not in target and target.isascii()):
            return
        try:
            unquote_to_bytes(target.encode("latin-1")).decode()
            self.query_string.decode()
        except UnicodeError as error:
            raise errors.BadRequest("The URL is not percent-encoded UTF-8.") from error
        if BAD_ESCAPE_PATTERN.search(target):
            raise errors.BadRequest("The URL has a % that is not followed by two hex digits.")

    @cached_property
    def _query_pairs(self) -> list[tuple[str, str]]:
        if self.is_lenient:
            return parse_qsl(self.query_string.decode(errors="replace"), keep_blank_values=True)
        query = self.query_string.decode()
        try:
            return parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
        except ValueError as error:
            raise errors.BadRequest("The query has too many parameters.") from error

    @cached_property
    def dry_run(self) -> str:
        """The value of `dry_run`; "false" without it, and if the operation does not take it."""
        if self.is_lenient or not self.query_string or self.method not in WRITING_METHODS:
            return "false"
        return dict(reversed(self._query_pairs)).get("dry_run", "false")

    def query_parameters(self, list_names: Collection[str] = ()) -> dict[str, str]:
        """Return the parameters of the query, `dry_run` left out if the operation takes it.

        The values of a repeated parameter in `list_names` are joined by commas. Any other repeated
        parameter has its first value, or if the request is lenient, the last one. Raise BadRequest
        if there are more than 100 parameters.
        """
        if self.is_lenient:
            return dict(self._query_pairs)
        parameters: dict[str, str] = {}
        for name, value in self._query_pairs:
            if name in parameters and name in list_names:
                parameters[name] += f",{value}"
            else:
                parameters.setdefault(name, value)
        if self.method in WRITING_METHODS:
            parameters.pop("dry_run", None)
        return parameters

    def repeated_and_dry_run_errors(self, list_names: Collection[str] = ()) -> list[ErrorDetail]:
        """Return the errors of `dry_run`, and of repeated parameters that `list_names` lacks."""
        if self.is_lenient:
            return []
        counts = Counter(name for name, _ in self._query_pairs if name not in list_names)
        repeated = [repeated_parameter_error(name) for name in sorted(counts) if counts[name] > 1]
        return repeated if self.dry_run in ("true", "false") else [*repeated, DRY_RUN_ERROR]

    def unexpected_parameter_errors(self) -> list[ErrorDetail]:
        """Return the errors of the query of an operation that takes no parameters."""
        if self.is_lenient or not self.query_string:
            return []
        unknown = [unknown_parameter_error(name) for name in self.query_parameters()]
        return [*self.repeated_and_dry_run_errors(), *unknown]

    def reject_parameters(self) -> None:
        """Raise UnprocessableContent if there is a query: the operation takes no parameters."""
        if found := self.unexpected_parameter_errors():
            raise errors.UnprocessableContent.from_errors(found)

    @cached_property
    def body(self) -> bytes:
        """The whole body.

        Raise ContentTooLarge beyond 1 MiB, and BadRequest if it is shorter than its Content-Length.
        """
        length = self.content_length or 0
        body = self._read_body(MAX_BODY + 1) if length <= MAX_BODY else b""
        if max(len(body), length) > MAX_BODY:
            raise errors.ContentTooLarge("The body exceeds 1 MiB.")
        if len(body) < length:
            raise errors.BadRequest("The body ended before its Content-Length.")
        return body

    def drain_body(self) -> None:
        """Read the rest of the body, up to the largest size that is allowed.

        If the connection were closed while the client is still sending, the client, or the proxy in
        front, would see a broken connection instead of the response.
        """
        if "body" not in self.__dict__:
            with suppress(errors.BadRequest):
                self._read_body(MAX_DRAINED)

    def _read_body(self, limit: int) -> bytes:
        length = self.content_length
        is_chunked = "HTTP_TRANSFER_ENCODING" in self.environ
        if length is None and not (is_chunked and self.environ.get("wsgi.input_terminated")):
            return b""
        # Not more than Content-Length: some servers would wait for further bytes.
        stream: Any = self.environ["wsgi.input"]
        try:
            body: bytes = stream.read(limit if length is None else min(length, limit))
        except (OSError, ParseException) as error:
            detail = "The body ended early, or its chunks are malformed."
            raise errors.BadRequest(detail) from error
        return body


request = cast(Request, flask.request)


def current_request() -> Request:
    """Return the request itself: each attribute of the proxy `request` costs half a microsecond."""
    return cast(Request, flask.request._get_current_object())  # type: ignore[attr-defined]


def app_extensions() -> dict[str, Any]:
    """Return the extensions of the app itself, as `current_request` returns the request."""
    extensions: dict[str, Any] = flask.current_app._get_current_object().extensions  # type: ignore[attr-defined]
    return extensions


DRY_RUN_ERROR: ErrorDetail = {
    "parameter": "dry_run",
    "code": "not-one-of",
    "detail": "Must be one of: true, false.",
}


def unknown_parameter_error(name: str) -> ErrorDetail:
    """Return the error for a query parameter that the operation does not have."""
    return {"parameter": name, "code": "unknown-parameter", "detail": "Unknown parameter."}


def repeated_parameter_error(name: str) -> ErrorDetail:
    """Return the error for a query parameter that appears more than once."""
    detail = "The parameter appears more than once."
    return {"parameter": name, "code": "repeated-parameter", "detail": detail}
