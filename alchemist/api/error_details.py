"""The errors that marshmallow finds in a body or in a query, as a response lists them."""

from collections.abc import Iterator
from typing import Any

from alchemist.errors import ErrorDetail

from . import references
from .fields import CodedMessage
from .request_query import unknown_parameter_error


def to_error_details(
    messages: Any, location: str, path: references.Path = ()
) -> Iterator[ErrorDetail]:
    """Yield an error for each of marshmallow's messages, with its location."""
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from to_error_details(
                inner, location, path if _is_about_whole_object(key, inner) else (*path, key)
            )
    elif isinstance(messages, list):
        for message in messages:
            yield from to_error_details(message, location, path)
    else:
        code = messages.code if isinstance(messages, CodedMessage) else "invalid"
        if location == "query":
            yield _parameter_error(str(path[0]), code, str(messages))
        else:
            yield {"pointer": references.json_pointer(path), "code": code, "detail": str(messages)}


def _is_about_whole_object(key: str | int, messages: Any) -> bool:
    """Return whether `_schema` is the whole object, and not a field of that name."""
    return key == "_schema" and not any(
        isinstance(message, CodedMessage) and message.code == "unknown-field"
        for message in messages
    )


def _parameter_error(name: str, code: str, detail: str) -> ErrorDetail:
    if code == "unknown-field":
        return unknown_parameter_error(name)
    return {"parameter": name, "code": code, "detail": detail}
