"""Numbers: whole ones, and exact decimals that are no floats on either side of the wire."""

import re
from decimal import Decimal
from typing import Any

from marshmallow import fields, validate
from sqlalchemy import ColumnElement, String, cast

from .messages import DEFAULT_MESSAGES, CodedMessage


class DecimalString(fields.Field[Decimal]):
    """A decimal number as a string: never a float on either side of the wire.

    `digits` in all, `places` of them after the point; answered with all its places.
    """

    default_error_messages = DEFAULT_MESSAGES | {
        "type": CodedMessage("wrong-type", "Not a decimal number in a string, such as “2.5”."),
        "range": CodedMessage("out-of-range", "{bound}."),
    }

    def __init__(
        self, *, digits: int, places: int, positive: bool = False, example: str, **how: Any
    ) -> None:
        whole = digits - places
        self.places = places
        self.positive = positive
        self.form = re.compile(rf"[0-9]{{1,{whole}}}(\.[0-9]{{1,{places}}})?", re.ASCII)
        self.bound = (
            f"Must be {'greater than 0' if positive else '0 or more'}, with at most {whole} "
            f"digits before the point and {places} after it"
        )
        nonzero = r"(?=.*[1-9])" if positive else ""
        metadata = {
            "pattern": rf"^{nonzero}[0-9]{{1,{whole}}}(\.[0-9]{{1,{places}}})?$",
            "examples": [example],
        }
        super().__init__(metadata=how.pop("metadata", {}) | metadata, **how)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value, re.ASCII):
            raise self.make_error("type")
        if not self.form.fullmatch(value) or (self.positive and not Decimal(value)):
            raise self.make_error("range", bound=self.bound)
        return Decimal(value)

    def _serialize(self, value: Decimal | str | None, *args: Any, **kwargs: Any) -> str | None:
        return None if value is None else f"{Decimal(value):.{self.places}f}"

    @staticmethod
    def project(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return cast(column, String)


class StrictInteger(fields.Integer):
    """A whole number: digits in a query, a JSON integer in a body."""

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not a whole number."),
        "too_large": CodedMessage("out-of-range", "The number is too large."),
    }

    def __init__(self, *, min: int, max: int, **how: Any) -> None:
        error = CodedMessage("out-of-range", "Must be between {min} and {max}.")
        super().__init__(strict=True, validate=validate.Range(min, max, error=error), **how)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if type(value) is not int:
            raise self.make_error("invalid")
        return value


class QueryInteger(StrictInteger):
    """A whole number in a query."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
            raise self.make_error("invalid")
        return int(value)
