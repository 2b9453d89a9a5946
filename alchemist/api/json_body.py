"""Reads JSON bodies strictly, and reports every error with its location."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from marshmallow import Schema, ValidationError

from alchemist import errors
from alchemist.errors import ErrorDetail

from . import fields, reference_lookup, references
from .error_details import to_error_details
from .json_values import is_equal
from .references import Reference
from .request import JSON, MERGE_PATCH, Request, current_request
from .unknown_fields import UnknownFieldLimit

MAX_NESTING = 32
CONTAINERS = (list, dict)
_TCHARS = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = r'"(?:[\t !#-\[\]-~]|\\[\t -~])*+"'
# A media type and its parameters (RFC 9110 §8.3.1); werkzeug skips malformed parameters.
MEDIA_TYPE = re.compile(
    rf"{_TCHARS}/{_TCHARS}(?:[ \t]*+;[ \t]*+(?:{_TCHARS}=(?:{_TCHARS}|{_QUOTED}))?+)*+"
)


def _object_with_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        duplicate = next(name for name, count in counts.items() if count > 1)
        raise errors.BadRequest(f"The key {json.dumps(duplicate)[:80]} is twice in one object.")
    return members


def _reject_nan_or_infinity(name: str) -> None:
    raise errors.BadRequest(f"{name} is not JSON.")


def _parse_finite_float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise errors.BadRequest(f"The number {text[:40]} is too large.")
    return number


def check_depth_and_characters(value: Any, depth: int = 1) -> None:
    if isinstance(value, str):
        _check_characters(value)
    elif isinstance(value, list | dict):
        if depth > MAX_NESTING:
            raise errors.BadRequest(f"The body is nested more than {MAX_NESTING} levels deep.")
        for member in value:
            check_depth_and_characters(member, depth + 1)
        if isinstance(value, dict):
            for member in value.values():
                check_depth_and_characters(member, depth + 1)


def _check_characters(text: str) -> None:
    if "\0" in text:
        raise errors.BadRequest("A string holds a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise errors.BadRequest("A string holds half of a surrogate pair.") from error


DECODER = json.JSONDecoder(
    object_pairs_hook=_object_with_unique_keys,
    parse_constant=_reject_nan_or_infinity,
    parse_float=_parse_finite_float,
)


def loads_strict(raw: bytes) -> Any:
    """Return the value of one JSON text (RFC 8259) in UTF-8; raise BadRequest."""
    try:
        text = raw.decode()
        if text.startswith("\ufeff"):
            raise errors.BadRequest("The body begins with a byte order mark.")
        value = DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise errors.BadRequest("The body is not UTF-8.") from error
    except RecursionError as error:
        raise errors.BadRequest(
            f"The body is nested more than {MAX_NESTING} levels deep."
        ) from error
    except json.JSONDecodeError as error:
        # A line of NDJSON is text of one line, and has a number of its own.
        line = f"line {error.lineno}, " if "\n" in text else ""
        position = f"{line}column {error.colno}"
        detail = f"The body is not valid JSON: {error.msg} at {position}."
        raise errors.BadRequest(detail) from error
    except ValueError as error:
        raise errors.BadRequest("A number has too many digits.") from error
    # Only an escape makes a NUL or a lone surrogate, and only brackets make nesting.
    if "\\u" in text:
        check_depth_and_characters(value)
    elif text.count("[") + text.count("{") > MAX_NESTING:
        _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    """Raise BadRequest for a value that is nested too deep; without calls, for large bodies."""
    level = [value]
    for _ in range(MAX_NESTING):
        containers = [each for each in level if isinstance(each, CONTAINERS)]
        level = [
            member
            for each in containers
            for member in (each.values() if isinstance(each, dict) else each)
        ]
    if any(isinstance(each, CONTAINERS) for each in level):
        raise errors.BadRequest(f"The body is nested more than {MAX_NESTING} levels deep.")


def has_utf8_media_type(request: Request) -> bool:
    """Return whether the media type is well-formed and names no other charset."""
    content_type = request.headers["Content-Type"].strip(" \t")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    is_unambiguous = (
        MEDIA_TYPE.fullmatch(content_type) and content_type.lower().count("charset") < 2
    )
    return bool(is_unambiguous) and charset in ("utf-8", "utf8")


def check_media_type_and_coding(request: Request, accepted: Sequence[str]) -> None:
    """Raise UnsupportedMediaType unless the body has one of these media types, in UTF-8."""
    # The usual header needs no parsing.
    is_plain = request.content_type == JSON
    if not is_plain and (request.mimetype not in accepted or not has_utf8_media_type(request)):
        raise errors.UnsupportedMediaType(
            f"Send the body as {' or '.join(accepted)} in UTF-8.",
            headers={
                "Accept-Patch" if request.method == "PATCH" else "Accept": ", ".join(accepted)
            },
        )
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise errors.UnsupportedMediaType("Send the body without a content coding.")


AuthorizeReferences = Callable[[Sequence[Reference]], None]


class Body(NamedTuple):
    """The values of a valid body, and references in it that were not looked up yet."""

    values: Any
    references: list[Reference]


def load_body(
    schema: Schema,
    current: Mapping[str, Any] | None = None,
    *,
    query_errors: Sequence[ErrorDetail] = (),
    defer_lookup: bool = False,
    authorize: AuthorizeReferences | None = None,
) -> Body:
    """Return what `schema` makes of the request's body; raise every error of the request at once.

    Read-only members that equal those of the `current` representation are ignored, so that a
    client may send back what it got (RFC 7396 merge patch). With `defer_lookup`, references are
    looked up only if there are other errors to report with them, or if the body repeats values
    of their rows; the others are returned for the statement that inserts the row. `authorize`
    raises Forbidden for references that the caller may not make, whatever else is wrong.

    A schema with a method `read_body` reads the body by itself. One with
    `find_errors_against_stored_rows` finds the values that do not fit stored rows; without other
    errors, that is left to the service.
    """
    body = getattr(schema, "read_body", read_json)(current_request())
    references_found = references.find_visible_references(schema, body)
    if authorize:
        authorize(references_found)
    loaded = load_collecting_errors(schema, body, current or {})
    errors_found = [*query_errors, *loaded.errors]
    if errors_found and hasattr(schema, "find_errors_against_stored_rows"):
        errors_found += schema.find_errors_against_stored_rows([loaded])
    is_deferred = defer_lookup and not any(each.repeated_values for each in references_found)
    if errors_found:
        errors_found += reference_lookup.look_up_reference_errors(references_found)
    elif not is_deferred:
        errors_found = reference_lookup.look_up_unchecked_reference_errors(references_found)
    if errors_found:
        raise errors.UnprocessableContent.from_errors(errors_found)
    return Body(loaded.values, references_found if is_deferred else [])


def load_collecting_errors(
    schema: Schema,
    body: Any,
    current: Mapping[str, Any],
    path: references.Path = (),
    unknown_fields: UnknownFieldLimit | None = None,
) -> "LoadedBody":
    """Return what `schema` makes of a body, or of a part of one, and its errors, without queries.

    `path` is where the part is in the body of the request. All parts share the limit of
    `unknown_fields`.
    """
    valid = schema.load_valid_or_none(body) if isinstance(schema, fields.Schema) else None
    if valid is not None:
        duplicates = [*references.duplicate_errors(schema, body, path)]
        return LoadedBody(path, valid, current, duplicates, is_ordinary=True)
    unlisted = (unknown_fields or UnknownFieldLimit()).remove_unlisted_and_return_errors(
        schema, body, path
    )
    try:
        values = schema.load(_without_unchanged_read_only_members(schema, body, current))
        details: list[ErrorDetail] = []
    except ValidationError as error:
        values = error.valid_data
        found = to_error_details(error.normalized_messages(), "json", path)
        details = [_relabel_unknown_as_read_only(detail, schema, path) for detail in found]
    details += [*references.duplicate_errors(schema, body, path), *unlisted]
    return LoadedBody(path, values or {}, current, details)


class LoadedBody(NamedTuple):
    """The values of a body at `path`, what is stored of its row, and the errors in the body.

    The references in an ordinary body repeat no values of their rows.
    """

    path: references.Path
    values: Mapping[str, Any]
    current: Mapping[str, Any]
    errors: list[ErrorDetail]
    is_ordinary: bool = False


def read_json(request: Request) -> Any:
    """Return the value of the body; raise UnsupportedMediaType, ContentTooLarge or BadRequest."""
    check_media_type_and_coding(
        request, (JSON, MERGE_PATCH) if request.method == "PATCH" else (JSON,)
    )
    request.json_body = loads_strict(request.body)
    return request.json_body


def _without_unchanged_read_only_members(
    schema: Schema, body: Any, current: Mapping[str, Any]
) -> Any:
    """Return the body without read-only members that equal those of the representation."""
    if not isinstance(body, dict):
        return body
    return {
        name: value
        for name, value in body.items()
        if name not in schema.dump_fields
        or name in schema.load_fields
        or name not in current
        or not is_equal(schema.dump_fields[name], current[name], value)
    }


def _relabel_unknown_as_read_only(
    entry: ErrorDetail, schema: Schema, path: references.Path
) -> ErrorDetail:
    name = entry.get("pointer", "").removeprefix(f"{references.json_pointer(path)}/")
    if entry["code"] == "unknown-field" and name in schema.dump_fields:
        return entry | {"code": "read-only", "detail": "This field is read-only."}
    return entry
