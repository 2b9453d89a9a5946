"""Fields with several values: lists, nested objects, and lists in a query."""

from typing import Any, Generic, TypeVar

from marshmallow import fields

from .documented import DocumentedField
from .messages import DEFAULT_MESSAGES, CodedMessage, ValidatedField, length_validators

T = TypeVar("T")


class QueryList(DocumentedField, fields.Field[T], Generic[T]):
    """A list in a query: values separated by commas, or the parameter repeated.

    The request joins repeated parameters with commas. In OpenAPI it is an array, with
    `style: form` and `explode: false`.
    """


class EnumList(QueryList[list[str]]):
    """Some of a few strings in a query, each at most once.

    `name` is that of the enumeration in OpenAPI documents.
    """

    default_error_messages = DEFAULT_MESSAGES | {
        "not_one_of": CodedMessage("not-one-of", "Must be some of: {choices}."),
        "duplicate": CodedMessage("duplicate", "A value appears twice."),
    }

    def __init__(self, *choices: str, name: str, **kwargs: Any) -> None:
        self.choices, self.enumeration = choices, name
        array_schema = {
            "type": "array",
            "items": {"type": "string", "enum": list(choices)},
            "minItems": 1,
            "maxItems": len(choices),
            "uniqueItems": True,
        }
        super().__init__(metadata=kwargs.pop("metadata", {}) | array_schema, **kwargs)

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        values = value.split(",")
        if not set(values) <= set(self.choices):
            raise self.make_error("not_one_of", choices=", ".join(self.choices))
        if len(set(values)) < len(values):
            raise self.make_error("duplicate")
        return values


class List(DocumentedField, ValidatedField, fields.List[Any]):
    """A list of `min` to `max` items.

    `unique_by` names the field of its objects that must be distinct; an item that is a plain
    string stands for that field.
    """

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not a list."),
        "too_many": CodedMessage("too-long", "Must have at most {max} items."),
    }

    def __init__(
        self,
        inner: Any,
        *,
        max: int = 100,
        min: int = 0,
        unique_by: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.max, self.unique_by = max, unique_by
        super().__init__(inner, validate=length_validators(min or None, max, "items"), **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        # Before the items are validated: a body of 1 MiB has room for an error in each of many.
        if isinstance(value, list) and len(value) > self.max:
            raise self.make_error("too_many", max=self.max)
        return super()._deserialize(value, attr, data, **kwargs)


class Nested(DocumentedField, ValidatedField, fields.Nested):
    """A nested object, which is complete even in a PATCH: it is never loaded as partial."""

    default_error_messages = DEFAULT_MESSAGES | {
        "type": CodedMessage("wrong-type", "Not an object."),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, *_: Any, **kwargs: Any) -> Any:
        if kwargs.pop("only_valid", False):
            valid = self.schema.load_valid_or_none(value)  # type: ignore[attr-defined]
            if valid is None:
                raise self.make_error("validator_failed")
            return valid
        values = super()._deserialize(value, attr, data, **(kwargs | {"partial": False}))
        for name, field in self.schema.fields.items():
            if field.metadata.get("readOnly"):
                # It was compared with the referenced row; no service writes it.
                values.pop((field.attribute or name).partition(".")[0], None)
        return values
