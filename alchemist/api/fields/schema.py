"""The base of all schemas of v2."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

import marshmallow
from marshmallow import RAISE, ValidationError, fields, missing

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

    def load_valid_or_none(self, body: Any) -> dict[str, Any] | None:
        """Return what `load` returns for an ordinary body without mistakes, None for any other.

        An ordinary body repeats no read-only values. The same fields make the values; `load` takes
        three times as long, to be able to list all mistakes.
        """
        fields = self._ordinary_fields
        if fields is None or type(body) is not dict:
            return None
        if not self._required_names <= body.keys() <= fields.keys():
            return None
        try:
            return {
                fields[name][0]: fields[name][1].deserialize(value, name, body, only_valid=True)
                for name, value in body.items()
            }
        except ValidationError:
            return None

    @cached_property
    def _ordinary_fields(self) -> dict[str, tuple[str, fields.Field[Any]]] | None:
        """The fields that need no help of `load`, and the names of their values, by member.

        None if the schema has hooks or defaults, which only `load` knows.
        """
        has_defaults = any(each.load_default is not missing for each in self.load_fields.values())
        if any(self._hooks.values()) or has_defaults:
            return None
        return {
            field.data_key or name: (field.attribute or name, field)
            for name, field in self.load_fields.items()
            if "." not in (field.attribute or "") and not field.metadata.get("readOnly")
        }

    @cached_property
    def _required_names(self) -> frozenset[str]:
        """The members that a body must have."""
        required = {
            field.data_key or name for name, field in self.load_fields.items() if field.required
        }
        return frozenset() if self.partial else frozenset(required)

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
