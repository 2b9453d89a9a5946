"""What holds other fields: lists and objects."""

from typing import Any

from marshmallow import fields

from .messages import DEFAULT_MESSAGES, CodedMessage, length_validators


class List(fields.List[Any]):
    """A list with bounds on its length.

    `unique` is the member of its objects, or what its texts are short for, that no two share.
    """

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not a list."),
        "many": CodedMessage("too-long", "Must have at most {max} members."),
    }

    def __init__(
        self, inner: Any, *, max: int = 100, min: int = 0, unique: str | None = None, **how: Any
    ) -> None:
        self.max, self.unique = max, unique
        super().__init__(inner, validate=length_validators(min or None, max, "members"), **how)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        # Before its members are looked at: they could all be wrong, and be as many as fit a body.
        if isinstance(value, list) and len(value) > self.max:
            raise self.make_error("many", max=self.max)
        return super()._deserialize(value, attr, data, **kwargs)


class Nested(fields.Nested):
    """An object inside an object, whole even where only a part of the outer one is sent."""

    default_error_messages = DEFAULT_MESSAGES | {
        "type": CodedMessage("wrong-type", "Not an object."),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, *_: Any, **kwargs: Any) -> Any:
        return super()._deserialize(value, attr, data, **(kwargs | {"partial": False}))
