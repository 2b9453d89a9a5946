"""The schema that the others are made from: what it does not know it refuses."""

from collections.abc import Iterator
from typing import ClassVar, Self

import marshmallow
from marshmallow import RAISE, fields

from .messages import CodedMessage


class Schema(marshmallow.Schema):
    """A strict schema: what it does not know it refuses."""

    error_messages = {
        "type": CodedMessage("wrong-type", "Not an object."),
        "unknown": CodedMessage("unknown-field", "Unknown field."),
    }

    # Fields that are decided by the creation of a row, and read-only from then on.
    settled: ClassVar[tuple[str, ...]] = ()

    class Meta:
        unknown = RAISE

    @classmethod
    def patch(cls) -> Self:
        """Return the schema of a merge patch."""
        return cls(partial=True, dump_only=cls.settled)

    @classmethod
    def writable(cls, *, partial: bool = False) -> Self:
        """Return the schema without what a client may only read, for the documentation."""
        settled = cls.settled if partial else ()
        return cls(exclude=[*_read_only(cls()), *settled], partial=partial)

    @property
    def is_written(self) -> bool:
        return bool(self.exclude)


def _read_only(schema: marshmallow.Schema) -> Iterator[str]:
    for name, field in schema.fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        if field.dump_only or field.metadata.get("readOnly"):
            yield name
        elif isinstance(inner, fields.Nested):
            yield from (f"{name}.{nested}" for nested in _read_only(inner.schema))
