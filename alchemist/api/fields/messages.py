"""Validation messages that carry a problem code."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

from marshmallow import fields, validate


class CodedMessage(str):
    """A marshmallow error message with the problem code of the error."""

    code: str

    def __new__(cls, code: str, text: str) -> Self:
        message = super().__new__(cls, text)
        message.code = code
        return message

    def format(self, *args: object, **kwargs: object) -> "CodedMessage":
        return CodedMessage(self.code, super().format(*args, **kwargs))

    def __deepcopy__(self, memo: object) -> "CodedMessage":
        return self


DEFAULT_MESSAGES: dict[str, Any] = {
    "required": CodedMessage("required", "This field is required."),
    "null": CodedMessage("not-nullable", "This field cannot be null."),
    "validator_failed": CodedMessage("invalid", "Invalid value."),
}


class ValidatedField(fields.Field[Any]):
    """A field that combines its validators once, where marshmallow does it for each value."""

    @cached_property
    def _validate_all(self) -> Callable[[Any], None]:
        return validate.And(*self.validators)


def length_validators(
    minimum: int | None, maximum: int | None, unit: str
) -> list[validate.Validator]:
    """Return one validator for each bound, so that each error has its own code.

    `unit` is what the length counts: `characters` (code points) or `items`.
    """
    # Strings are trimmed first, so that a minimum of 1 means: not blank.
    one = {"characters": "Must not be blank.", "items": "Must have at least one item."}
    too_short = one[unit] if minimum == 1 else f"Must have at least {{min}} {unit}."
    too_long = f"Must have at most {{max}} {unit}."
    validators: list[validate.Validator] = []
    if minimum is not None:
        error = CodedMessage("too-short", too_short)
        validators.append(validate.Length(min=minimum, error=error))
    if maximum is not None:
        error = CodedMessage("too-long", too_long)
        validators.append(validate.Length(max=maximum, error=error))
    return validators
