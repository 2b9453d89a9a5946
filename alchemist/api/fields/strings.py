"""Text, and what is said in words: a name, a choice, true and false."""

from typing import Any
from unicodedata import normalize

from marshmallow import fields, validate
from sqlalchemy.orm import InstrumentedAttribute

from .messages import DEFAULT_MESSAGES, CodedMessage, length_validators


class Text(fields.String):
    """Text without surrounding white space, in NFC; lengths count code points.

    NUL and lone surrogates are refused: PostgreSQL and UTF-8 cannot hold them.
    """

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not a string."),
        "unstorable": CodedMessage("wrong-type", "Holds a NUL character or half a surrogate pair."),
    }

    def __init__(self, *, max: int, min: int = 0, example: str | None = None, **how: Any) -> None:
        # White space at the edges does not count, so that one character must be another. Half a
        # surrogate pair is not mentioned: it has no place in UTF-8.
        pattern = r"^[^\x00]*[^\s\x00\x1c-\x1f\x85][^\x00]*$" if min else r"^[^\x00]*$"
        metadata = {"pattern": pattern, "examples": example and [example]}
        described = how.pop("metadata", {}) | {k: v for k, v in metadata.items() if v}
        super().__init__(
            validate=length_validators(min or None, max, "characters"), metadata=described, **how
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self.make_error("unstorable") from error
        if "\0" in value:
            raise self.make_error("unstorable")
        return normalize("NFC", value).strip()


class NameReference(Text):
    """The name of a row in any case, in place of its key; `to` is the column that holds it."""

    owner = known_to = None

    def __init__(self, *, to: InstrumentedAttribute[str], **how: Any) -> None:
        self.to: Any = to.class_
        self.column = to
        super().__init__(**how)


class Enum(fields.String):
    """One of a few words."""

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not a string."),
    }

    def __init__(self, *choices: str, **how: Any) -> None:
        error = CodedMessage("not-one-of", "Must be one of: {choices}.")
        super().__init__(validate=validate.OneOf(choices, error=error), **how)


class QueryBoolean(fields.Field[bool]):
    """`true` or `false` in a query."""

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("not-one-of", "Must be one of: true, false."),
    }

    def __init__(self, **how: Any) -> None:
        described = {"type": "boolean", "examples": [True]}
        super().__init__(metadata=described | how.pop("metadata", {}), **how)

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if value not in ("true", "false"):
            raise self.make_error("invalid")
        return value == "true"
