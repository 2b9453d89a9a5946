"""The URL of a request in strict UTF-8, and the parameters of its query."""

import re
from collections import Counter
from collections.abc import Collection
from urllib.parse import parse_qsl, unquote_to_bytes

import flask
from werkzeug.utils import cached_property

from alchemist import errors
from alchemist.errors import ErrorDetail

MAX_PARAMETERS = 100
# The operations of these methods take the query parameter `dry_run`, except those of version 1.
WRITING_METHODS = ("POST", "PATCH", "DELETE")
BAD_ESCAPE_PATTERN = re.compile(r"%(?![0-9A-Fa-f]{2})")
DRY_RUN_ERROR: ErrorDetail = {
    "parameter": "dry_run",
    "code": "not-one-of",
    "detail": "Must be one of: true, false.",
}


class QueryMixin(flask.Request):
    """Reads the URL as percent-encoded UTF-8, and reports all errors of the query at once."""

    @property
    def raw_target(self) -> str:
        """The request target as it was sent, percent-encoded."""
        target: str = self.environ.get("RAW_URI") or self.environ.get("REQUEST_URI") or ""
        return target

    @cached_property
    def is_lenient(self) -> bool:
        """Whether the path is below LENIENT_URL_PREFIX, where errors of the query are ignored."""
        prefix = flask.current_app.config.get("LENIENT_URL_PREFIX")
        return prefix is not None and f"{self.path}/".startswith(prefix)

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


def unknown_parameter_error(name: str) -> ErrorDetail:
    """Return the error for a query parameter that the operation does not have."""
    return {"parameter": name, "code": "unknown-parameter", "detail": "Unknown parameter."}


def repeated_parameter_error(name: str) -> ErrorDetail:
    """Return the error for a query parameter that appears more than once."""
    detail = "The parameter appears more than once."
    return {"parameter": name, "code": "repeated-parameter", "detail": detail}
