"""Numbers: integers, and exact decimals in JSON strings."""

import re
from decimal import Decimal
from typing import Any

from marshmallow import fields, validate
from sqlalchemy import ColumnElement, String, cast

from .documented import DocumentedField
from .messages import DEFAULT_MESSAGES, CodedMessage, ValidatedField


class DecimalString(DocumentedField, ValidatedField, fields.Field[Decimal]):
    """A decimal number in a JSON string, never a float.

    `precision` and `scale` are those of SQL's NUMERIC: digits in all, and after the point.
    Serialized with all `scale` decimals.
    """

    default_error_messages = DEFAULT_MESSAGES | {
        "type": CodedMessage("wrong-type", "Not a decimal number in a string, such as “2.5”."),
        "range": CodedMessage("out-of-range", "{range_message}."),
    }

    def __init__(
        self, *, precision: int, scale: int, positive: bool = False, **kwargs: Any
    ) -> None:
        integer_digits = precision - scale
        self.scale = scale
        self.positive = positive
        digits = rf"[0-9]{{1,{integer_digits}}}(\.[0-9]{{1,{scale}}})?"
        positive_digits = (
            rf"(({_nonzero_digits_pattern(integer_digits)})(\.[0-9]{{1,{scale}}})?"
            rf"|0{{1,{integer_digits}}}\.({_nonzero_digits_pattern(scale)}))"
        )
        self.pattern = re.compile(digits, re.ASCII)
        self.range_message = (
            f"Must be {'greater than 0' if positive else '0 or more'}, with at most "
            f"{integer_digits} digits before the point and {scale} after it"
        )
        pattern = f"^{positive_digits if positive else digits}$"
        super().__init__(metadata=kwargs.pop("metadata", {}) | {"pattern": pattern}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value, re.ASCII):
            raise self.make_error("type")
        if not self.pattern.fullmatch(value) or (self.positive and not Decimal(value)):
            raise self.make_error("range", range_message=self.range_message)
        return Decimal(value)

    def _serialize(self, value: Decimal | str | None, *args: Any, **kwargs: Any) -> str | None:
        return None if value is None else f"{Decimal(value):.{self.scale}f}"

    @staticmethod
    def to_sql(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return cast(column, String)


def _nonzero_digits_pattern(length: int) -> str:
    """Return a pattern of 1 to `length` digits, not all of them zero, without a look-ahead.

    RE2, and so Go, has none.
    """
    alternatives = (f"0{{{zeros}}}[1-9][0-9]{{0,{length - 1 - zeros}}}" for zeros in range(length))
    return "|".join(alternatives)


class StrictInteger(DocumentedField, ValidatedField, fields.Integer):
    """An integer from `min` to `max`: a JSON number without a fraction, such as 1 or 1.0.

    That is the `integer` of JSON Schema (2020-12 Validation §6.1.1).
    """

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not a whole number."),
        "too_large": CodedMessage("out-of-range", "The number is too large."),
    }

    def __init__(self, *, min: int, max: int, **kwargs: Any) -> None:
        error = CodedMessage("out-of-range", "Must be between {min} and {max}.")
        super().__init__(strict=True, validate=validate.Range(min, max, error=error), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        is_integer = type(value) is int or (isinstance(value, float) and value.is_integer())
        if not is_integer:
            raise self.make_error("invalid")
        return int(value)


class QueryInteger(StrictInteger):
    """An integer in a query, in ASCII digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not re.fullmatch(r"-?[0-9]+", value, re.ASCII):
            raise self.make_error("invalid")
        # A longer number is out of every range.
        return int(value[:10])
