"""Reads request bodies as the v1 services did.

What a schema does not read may be anything that JSON parsers accept. What it reads is checked as
strictly as in v2.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import marshmallow
from marshmallow.fields import Field

from alchemist import errors
from alchemist.api.fields import List, Nested
from alchemist.api.json_body import check_depth_and_characters, has_utf8_media_type
from alchemist.api.request import JSON, Request

# What the framework of the v1 services said.
MALFORMED_BODY = "There was an error parsing the body"
# Some clients send the character encoding as if it were a content coding.
NO_CODINGS = ("", "identity", "utf-8", "utf8")


class Malformed:
    """A part of a body that strict JSON does not allow: an error if a field reads it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _mark_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = [name for name, count in counts.items() if count > 1]
        members |= dict.fromkeys(repeated, Malformed("A key appears twice in an object."))
    return members


def _parse_int_or_malformed(digits: str) -> Any:
    try:
        return int(digits)
    except ValueError:
        return Malformed("A number has too many digits.")


def _parse_float_or_malformed(text: str) -> Any:
    number = float(text)
    is_finite = number not in (float("inf"), float("-inf"))
    return number if is_finite else Malformed("A number is too large.")


DECODER = json.JSONDecoder(
    object_pairs_hook=_mark_repeated_keys,
    parse_constant=lambda name: Malformed(f"{name} is not JSON."),
    parse_float=_parse_float_or_malformed,
    parse_int=_parse_int_or_malformed,
)


def read_lenient_json(request: Request, schema: marshmallow.Schema) -> Any:
    """Return the parts of the request's body that `schema` reads.

    Raises UnsupportedMediaType, ContentTooLarge or BadRequest.
    """
    _check_media_type(request)
    request.json_body = drop_unknown_fields(schema, loads_lenient(request.body))
    check_depth_and_characters(request.json_body)
    return request.json_body


def _check_media_type(request: Request) -> None:
    """Raise UnsupportedMediaType for a type other than JSON in UTF-8; no type means JSON."""
    is_json = request.mimetype == JSON or request.mimetype.endswith("+json")
    if request.content_type and not (is_json and has_utf8_media_type(request)):
        detail = f"Send the body as {JSON} in UTF-8."
        raise errors.UnsupportedMediaType(detail, headers={"Accept": JSON})
    if request.headers.get("Content-Encoding", "").lower() not in NO_CODINGS:
        raise errors.UnsupportedMediaType("Send the body without a content coding.")


def loads_lenient(raw: bytes) -> Any:
    """Return the value of a JSON text in UTF-8, with or without a byte order mark.

    Raises BadRequest for what is no JSON at all. Repeated keys, NaN and numbers beyond a double,
    about which parsers differ (RFC 8259 §4, §6), are instances of `Malformed` in the value.
    """
    try:
        return DECODER.decode(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise malformed_body_error("The body is not UTF-8.") from error
    except json.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno}"
        raise malformed_body_error(f"The body is not JSON: {error.msg} at {position}.") from error
    except RecursionError as error:
        raise malformed_body_error("The body is nested too deeply.") from error


def malformed_body_error(reason: str) -> errors.BadRequest:
    error = {"pointer": "#", "code": "malformed-request", "detail": reason}
    return errors.BadRequest(MALFORMED_BODY, [error])


def drop_unknown_fields(node: marshmallow.Schema | Field[Any], value: Any) -> Any:
    """Return the parts of a value that a schema or a field reads.

    Raises BadRequest if one of them is malformed.
    """
    if isinstance(value, Malformed):
        raise malformed_body_error(value.reason)
    if isinstance(node, Nested):
        return drop_unknown_fields(node.schema, value)
    if isinstance(node, marshmallow.Schema) and isinstance(value, dict):
        return {
            name: drop_unknown_fields(field, value[name])
            for name, field in fields_by_client_spelling(node, value)
        }
    if isinstance(node, List) and isinstance(value, list):
        return [drop_unknown_fields(node.inner, item) for item in value]
    return value


def fields_by_client_spelling(
    schema: marshmallow.Schema, body: Mapping[str, Any]
) -> Iterator[tuple[str, Field[Any]]]:
    """Yield the writable fields that a body has, each with the name that it has there.

    A field with a name in camel case is also read by its name in snake case; camel case wins.
    """
    for name, field in schema.load_fields.items():
        if (spelling := field.data_key or name) in body or (spelling := name) in body:
            yield spelling, field
