"""Fields that accept in requests what the v1 services accepted, and are exact in responses.

`request_schema` documents what a field accepts; a member that is None holds for responses only.
"""

import re
from decimal import Decimal
from typing import Any
from uuid import UUID

from marshmallow import fields as marshmallow_fields
from sqlalchemy import ColumnElement, func, literal_column

from alchemist.api import fields
from alchemist.api.fields import DEFAULT_MESSAGES, CodedMessage
from alchemist.domains.products.schemas import Money
from alchemist.domains.stores.currencies import MAX_DIGITS
from alchemist.domains.users import schemas as users

MAX_INT4 = 2**31 - 1
# More than a body of 1 MiB has room for.
MAX_ITEMS = 30_000
NUMBER_PATTERN = r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
# More characters than any column has digits; as an exponent, few enough to write the number out.
MAX_NUMBER_LENGTH = 400
UUID_PATTERN = re.compile("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$|^[0-9a-fA-F]{32}$")
DISPLAY_NAME_AND_ADDRESS = re.compile(r"[^<>]*<([^<>]*)>\s*")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def parse_number(value: Any) -> Decimal | None:
    """Return the value of a JSON number, or of text that spells a number; None for all else.

    Of a float this is the shortest decimal that is read as the same float.
    """
    text = repr(value) if is_number(value) else value
    if not isinstance(text, str) or len(text) > MAX_NUMBER_LENGTH:
        return None
    if not re.fullmatch(NUMBER_PATTERN, text, re.ASCII):
        return None
    _, _, exponent = text.lower().partition("e")
    return Decimal(text.strip()) if abs(int(exponent or 0)) <= MAX_NUMBER_LENGTH else None


def json_types_of(field: marshmallow_fields.Field[Any], *types: str) -> list[str]:
    return [*types, "null"] if field.allow_none else [*types]


class TextOrNumber(fields.Text):
    """Text, for which a number may stand: its digits become the text."""

    @property
    def request_schema(self) -> dict[str, Any]:
        return {"type": json_types_of(self, "string", "number")}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = str(value) if is_number(value) else value
        return super()._deserialize(text, attr, data, **kwargs)


class EmailWithDisplayName(users.Email):
    """An e-mail address, which a display name may precede (RFC 5322 §3.4); the name is dropped."""

    request_schema = {"maxLength": None}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        match = DISPLAY_NAME_AND_ADDRESS.fullmatch(value) if isinstance(value, str) else None
        return super()._deserialize(match[1] if match else value, attr, data, **kwargs)


class IntegerOrText(fields.StrictInteger):
    """An integer, which may be written as text or with a fraction of zero: "2", 2.0."""

    @property
    def request_schema(self) -> dict[str, Any]:
        return {"type": json_types_of(self, "integer", "string"), "pattern": NUMBER_PATTERN}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        number = parse_number(value)
        if number is not None and number == int(number):
            value = int(number)
        return super()._deserialize(value, attr, data, **kwargs)


class MoneyAsNumber(marshmallow_fields.Decimal):
    """An amount of money as a JSON number, for which text may stand; never rounded.

    The field knows no currency: services check the decimals.

    Serialized as Python spells a float: 10.0, 9.99.
    """

    default_error_messages = DEFAULT_MESSAGES

    def __init__(self, *, description: str, example: float, **kwargs: Any) -> None:
        not_a_number = CodedMessage("wrong-type", "Not a decimal number.")
        self.exact = Money(
            description=description, example=str(example), error_messages={"type": not_a_number}
        )
        metadata = {
            "description": description,
            "minimum": 0,
            "maximum": 10**MAX_DIGITS - 1,
            "examples": [example],
        }
        super().__init__(metadata=metadata, **kwargs)

    @property
    def request_schema(self) -> dict[str, Any]:
        return {"type": json_types_of(self, "number", "string"), "pattern": NUMBER_PATTERN}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        number = parse_number(value)
        text = value if number is None else _shortest_decimal(number)
        amount: Decimal = self.exact.deserialize(text, attr, data)
        return amount

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return None if value is None else float(value)

    @staticmethod
    def to_sql(column: ColumnElement[Any]) -> ColumnElement[Any]:
        # The sum has the larger scale of the two: one decimal at least.
        return func.trim_scale(column) + literal_column("0.0")


def _shortest_decimal(number: Decimal) -> str:
    """Return the number without exponent, plus sign, and zeros at the end of its fraction."""
    text = f"{number:f}" if number else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text


class UuidOrHex(fields.Pk):
    """A primary key, which may be written without dashes."""

    request_schema = {"format": None, "pattern": UUID_PATTERN.pattern}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        if isinstance(value, str) and UUID_PATTERN.fullmatch(value):
            value = str(UUID(value))
        return super()._deserialize(value, attr, data, **kwargs)
