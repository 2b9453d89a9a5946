"""What is wrong with a value, and the problem code of that."""

from typing import Any, Self

from marshmallow import validate


class CodedMessage(str):
    """A message of marshmallow's that knows its problem code."""

    code: str

    def __new__(cls, code: str, text: str) -> Self:
        complaint = super().__new__(cls, text)
        complaint.code = code
        return complaint

    def format(self, *args: object, **kwargs: object) -> "CodedMessage":
        return CodedMessage(self.code, super().format(*args, **kwargs))

    def __deepcopy__(self, memo: object) -> "CodedMessage":
        return self


DEFAULT_MESSAGES: dict[str, Any] = {
    "required": CodedMessage("required", "This field is required."),
    "null": CodedMessage("not-nullable", "This field cannot be null."),
    "validator_failed": CodedMessage("invalid", "Invalid value."),
}


def length_validators(
    minimum: int | None, maximum: int | None, unit: str
) -> list[validate.Validator]:
    """Return one validator for each bound, so that each has its own code."""
    # One character that is no white space, that is.
    least = {"characters": "Must not be blank.", "members": "Must have at least one member."}
    low = least[unit] if minimum == 1 else f"Must have at least {{min}} {unit}."
    high = f"Must have at most {{max}} {unit}."
    bounds: list[validate.Validator] = []
    if minimum is not None:
        bounds.append(validate.Length(min=minimum, error=CodedMessage("too-short", low)))
    if maximum is not None:
        bounds.append(validate.Length(max=maximum, error=CodedMessage("too-long", high)))
    return bounds
