"""The base of all schemas of v2."""

from collections.abc import Iterator
from typing import ClassVar, Self

import marshmallow
from marshmallow import RAISE, fields

from .messages import CodedMessage


class Schema(marshmallow.Schema):
    """A strict schema: unknown fields are errors."""

    error_messages = {
        "type": CodedMessage("wrong-type", "Not an object."),
        "unknown": CodedMessage("unknown-field", "Unknown field."),
    }

    # Fields that a POST sets, and that are read-only in a PATCH.
    immutable_fields: ClassVar[tuple[str, ...]] = ()

    class Meta:
        unknown = RAISE

    @classmethod
    def for_patch(cls) -> Self:
        """Return the schema that loads a merge patch (RFC 7396)."""
        return cls(partial=True, dump_only=cls.immutable_fields)

    @classmethod
    def for_request_body(cls, *, partial: bool = False) -> Self:
        """Return the schema without read-only fields, to document a request body with.

        `partial` is for the body of a PATCH.
        """
        immutable = cls.immutable_fields if partial else ()
        return cls(exclude=[*_read_only_fields(cls()), *immutable], partial=partial)


def _read_only_fields(schema: marshmallow.Schema) -> Iterator[str]:
    for name, field in schema.fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        if field.dump_only or field.metadata.get("readOnly"):
            yield name
        elif isinstance(inner, fields.Nested):
            yield from (f"{name}.{nested}" for nested in _read_only_fields(inner.schema))
