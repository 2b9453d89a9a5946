"""Text, references by name, enumerations and booleans."""

from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

from marshmallow import fields, validate
from sqlalchemy.orm import InstrumentedAttribute

from alchemist.database import (
    MAX_REFERENCE_LENGTH,
    drop_invisible_except_spaces,
    is_visible_ascii,
    trim_invisible,
)

from .documented import DocumentedField
from .messages import DEFAULT_MESSAGES, CodedMessage, ValidatedField, length_validators


class Text(DocumentedField, ValidatedField, fields.String):
    """Text in NFC, without invisible characters at both ends, of `min` to `max` code points.

    NUL and lone surrogates are errors: PostgreSQL and UTF-8 cannot store them. More than 4 times
    `max` code points are an error before the text is normalised, because the time of that grows
    with the square of the number of combining marks. With `is_code`, invisible characters inside of
    the text are dropped, too, except for white space.
    """

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not a string."),
        "too_long": CodedMessage("too-long", "Must have at most {max} characters."),
        "invalid_characters": CodedMessage(
            "wrong-type", "Contains a NUL character or a lone surrogate."
        ),
    }

    def __init__(
        self,
        *,
        max: int,
        min: int = 0,
        is_code: bool = False,
        **kwargs: Any,
    ) -> None:
        self.max = max
        self.is_code = is_code
        # With a minimum, one character must remain after trimming. The pattern is the part of this
        # rule that the regular expressions of Python, ECMAScript, RE2 and Ruby can all express.
        pattern = r"^[^\x00]*[^\s\x00\x1c-\x1f][^\x00]*$" if min else r"^[^\x00]*$"
        metadata = kwargs.pop("metadata", {}) | {"pattern": pattern}
        validators = length_validators(min or None, max, "characters")
        super().__init__(validate=validators, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if len(value) > 4 * self.max:
            raise self.make_error("too_long", max=self.max)
        if is_visible_ascii(value):
            return value.strip()
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self.make_error("invalid_characters") from error
        if "\0" in value:
            raise self.make_error("invalid_characters")
        visible = drop_invisible_except_spaces(value) if self.is_code else value
        return trim_invisible(normalize("NFC", visible))


class NameReference(Text):
    """A reference to a row by a unique code, in any case, instead of its primary key.

    `column` is the folded column of the code.
    """

    def __init__(self, *, column: InstrumentedAttribute[str], **kwargs: Any) -> None:
        self.references: Any = column.class_
        self.column = column
        super().__init__(is_code=True, **kwargs)


class ExternalReference(Text):
    """The key by which another system knows the row: see `database.ExternallyReferenced`."""

    def __init__(self, *, examples: Sequence[str | None]) -> None:
        description = (
            "The key by which another system knows the row, or null. No two rows of the resource "
            "have the same one; case matters."
        )
        super().__init__(
            min=1,
            max=MAX_REFERENCE_LENGTH,
            allow_none=True,
            description=description,
            examples=examples,
        )


class Enum(DocumentedField, ValidatedField, fields.String):
    """One of a few strings; `name` is that of the enumeration in OpenAPI documents."""

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not a string."),
    }

    def __init__(self, *choices: str, name: str, **kwargs: Any) -> None:
        self.enumeration = name
        error = CodedMessage("not-one-of", "Must be one of: {choices}.")
        super().__init__(validate=validate.OneOf(choices, error=error), **kwargs)


class QueryBoolean(DocumentedField, fields.Field[bool]):
    """`true` or `false` in a query."""

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("not-one-of", "Must be one of: true, false."),
    }

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"type": "boolean"} | kwargs.pop("metadata", {})
        super().__init__(**{"example": True} | kwargs, metadata=metadata)

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if value not in ("true", "false"):
            raise self.make_error("invalid")
        return value == "true"
