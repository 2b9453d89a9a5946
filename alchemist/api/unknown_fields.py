"""Unknown fields of a large body, which has room for 90,000 of them."""

from typing import Any

from marshmallow import RAISE, Schema
from marshmallow.fields import Field

from alchemist.errors import MAX_ERRORS, ErrorDetail

from .fields import List, Nested
from .references import Path, json_pointer


class UnknownFieldLimit:
    """Removes the unknown fields that the response would not list, before a schema loads them.

    For each of them marshmallow and this service would take 5 µs.
    """

    def __init__(self) -> None:
        self._unlisted: list[ErrorDetail] = []
        self._left = MAX_ERRORS

    def remove_unlisted_and_return_errors(
        self, schema: Schema, body: Any, path: Path
    ) -> list[ErrorDetail]:
        """Remove unknown fields of a body after the first 100; return an error for each."""
        self._unlisted = []
        if schema.unknown == RAISE:
            self._remove_from_value(schema, body, path)
        return self._unlisted

    def _remove_from_value(self, node: Schema | Field[Any], value: Any, path: Path) -> None:
        if isinstance(node, List) and isinstance(value, list) and len(value) <= node.max:
            for index, item in enumerate(value):
                self._remove_from_value(node.inner, item, (*path, index))
        elif isinstance(node, Nested):
            self._remove_from_value(node.schema, value, path)
        elif isinstance(node, Schema) and isinstance(value, dict):
            self._remove_from_object(node, value, path)
            for name, field in node.load_fields.items():
                if isinstance(field, List | Nested) and name in value:
                    self._remove_from_value(field, value[name], (*path, name))

    def _remove_from_object(self, schema: Schema, value: dict[str, Any], path: Path) -> None:
        if value.keys() <= schema.fields.keys():
            return
        unknown = [name for name in value if name not in schema.fields]
        listed, unlisted = unknown[: self._left], unknown[self._left :]
        self._left -= len(listed)
        if unlisted:
            for name in unlisted:
                del value[name]
            # One object for all: they only count.
            detail = {"code": "unknown-field", "detail": "Unknown field."}
            self._unlisted += [{"pointer": json_pointer(path), **detail}] * len(unlisted)
