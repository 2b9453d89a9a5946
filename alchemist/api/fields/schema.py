"""The base of all schemas of v2."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

import marshmallow
from marshmallow import RAISE, fields

from .messages import CodedMessage


class Expansion(NamedTuple):
    """A row to which a key refers, as `expand` puts it whole into the representation.

    The caller needs the permission. `owner` is the column of the user whose rows it covers; its
    form with `:any` covers all rows.
    """

    schema: type[marshmallow.Schema]
    model: type[Any]
    permission: str | None = None
    owner: str | None = None


class Schema(marshmallow.Schema):
    """A strict schema: unknown fields are errors."""

    error_messages = {
        "type": CodedMessage("wrong-type", "Not an object."),
        "unknown": CodedMessage("unknown-field", "Unknown field."),
    }

    # Fields that a POST sets, and that are read-only in a PATCH.
    immutable_fields: ClassVar[tuple[str, ...]] = ()

    # Read-only fields that a new row keeps if it is imported from an export.
    restored_fields: ClassVar[tuple[str, ...]] = ("pk", "created_at")

    # The rows to which `<name>_id` refers that a client may expand, by name.
    expandable: ClassVar[Mapping[str, Expansion]] = MappingProxyType({})

    class Meta:
        unknown = RAISE

    @classmethod
    def for_patch(cls) -> Self:
        """Return the schema that loads a merge patch (RFC 7396)."""
        return cls(partial=True, dump_only=cls.immutable_fields)

    @classmethod
    def for_request_body(cls, *, partial: bool = False) -> Self:
        """Return the schema that documents a request body: its `only` names the fields.

        `partial` is for the body of a PATCH. It may repeat read-only fields, if the schema does not
        ignore them.
        """
        schema = cls.for_patch() if partial else cls()
        is_repeatable = partial and cls.opts.unknown == RAISE
        names = list(_request_field_names(schema, with_read_only=is_repeatable))
        return cls(only=names, partial=partial, dump_only=schema.dump_only)


def _request_field_names(schema: marshmallow.Schema, *, with_read_only: bool) -> Iterator[str]:
    for name, field in schema.fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        if name in schema.dump_fields and name not in schema.load_fields:
            yield from [name] if with_read_only else []
        elif isinstance(inner, fields.Nested):
            nested = _request_field_names(inner.schema, with_read_only=False)
            yield from (f"{name}.{each}" for each in nested)
        else:
            yield name
