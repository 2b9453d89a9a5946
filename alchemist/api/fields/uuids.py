"""UUID fields: one in a body, or a comma-separated list in a query."""

import re
from functools import lru_cache
from typing import Any
from uuid import UUID

from marshmallow import fields

from .documented import DocumentedField
from .messages import DEFAULT_MESSAGES, CodedMessage
from .nested import QueryList

CANONICAL_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def parse_uuid(text: str) -> UUID | None:
    """Return the UUID that the text has in canonical form (RFC 9562 §4), or None."""
    return _parse_uuid_cached(text) if len(text) == 36 else None


# A body may repeat keys, and validation, look-up and search for duplicates read each of them.
@lru_cache(maxsize=4096)
def _parse_uuid_cached(text: str) -> UUID | None:
    return UUID(text) if CANONICAL_UUID.fullmatch(text) else None


class Pk(DocumentedField, fields.UUID):
    """A primary key in its canonical form of 36 characters (RFC 9562 §4).

    `references` is the model whose row it names; the parser checks that the row exists. With
    `checked_by_service`, it does so only if it has other errors to report as well.
    """

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid_uuid": CodedMessage("wrong-type", "Not a UUID."),
    }

    def __init__(
        self,
        *,
        references: type[Any] | None = None,
        checked_by_service: bool = False,
        **kwargs: Any,
    ) -> None:
        self.references = references
        self.checked_by_service = checked_by_service
        super().__init__(**kwargs)

    def deserialize(
        self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any
    ) -> Any:
        # Many keys are in one body, and marshmallow takes ten times as long as the parser.
        parsed = parse_uuid(value) if isinstance(value, str) else None
        return parsed or super().deserialize(value, attr, data, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        parsed = parse_uuid(value) if isinstance(value, str) else None
        if parsed is None:
            raise self.make_error("invalid_uuid")
        return parsed


class UuidList(QueryList[list[UUID]]):
    """From 1 to 100 distinct primary keys in a query."""

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not a list of UUIDs separated by commas."),
        "duplicate": CodedMessage("duplicate", "A key appears twice."),
        "too_many": CodedMessage("too-long", "Must have at most 100 keys."),
    }

    def __init__(self, **kwargs: Any) -> None:
        array_schema = {
            "type": "array",
            "items": {"type": "string", "format": "uuid"},
            "minItems": 1,
            "maxItems": 100,
            "uniqueItems": True,
        }
        super().__init__(metadata=kwargs.pop("metadata", {}) | array_schema, **kwargs)

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> list[UUID]:
        parts = value.split(",")
        if not all(CANONICAL_UUID.fullmatch(part) for part in parts):
            raise self.make_error("invalid")
        pks = [UUID(part) for part in parts]
        if len(set(pks)) < len(pks):
            raise self.make_error("duplicate")
        if len(pks) > 100:
            raise self.make_error("too_many")
        return pks
