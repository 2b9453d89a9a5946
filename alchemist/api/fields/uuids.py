"""Primary keys, one in a body and many in a query."""

import re
from typing import Any
from uuid import UUID

from marshmallow import fields

from .messages import DEFAULT_MESSAGES, CodedMessage

CANONICAL_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Pk(fields.UUID):
    """A primary key in its canonical form of 36 characters; `to` is the model it refers to.

    `owner` is the column that says whose the row is, and the permission that the caller needs
    for rows of others with `:any`. `known_to` is the permission that whoever may learn whether the
    row is there has with `:any`; to others nothing is said of it, and the foreign key decides.
    """

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid_uuid": CodedMessage("wrong-type", "Not a UUID."),
    }

    def __init__(
        self,
        *,
        to: type[Any] | None = None,
        owner: tuple[str, str] | None = None,
        known_to: str | None = None,
        example: str | None = None,
        **how: Any,
    ) -> None:
        self.to, self.owner, self.known_to = to, owner, known_to
        described = {"examples": [example]} if example else {}
        super().__init__(metadata=how.pop("metadata", {}) | described, **how)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        if not isinstance(value, str) or not CANONICAL_UUID.fullmatch(value):
            raise self.make_error("invalid_uuid")
        return UUID(value)


class UuidList(fields.Field[list[UUID]]):
    """Primary keys in a query, separated by commas, none of them twice, at most 100."""

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not a list of UUIDs separated by commas."),
        "duplicate": CodedMessage("duplicate", "A key is given twice."),
        "many": CodedMessage("too-long", "Must have at most 100 keys."),
    }

    def __init__(self, **how: Any) -> None:
        described = {
            "type": "array",
            "items": {"type": "string", "format": "uuid"},
            "minItems": 1,
            "maxItems": 100,
            "uniqueItems": True,
        }
        super().__init__(metadata=how.pop("metadata", {}) | described, **how)

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> list[UUID]:
        parts = value.split(",")
        if not all(CANONICAL_UUID.fullmatch(part) for part in parts):
            raise self.make_error("invalid")
        pks = [UUID(part) for part in parts]
        if len(set(pks)) < len(pks):
            raise self.make_error("duplicate")
        if len(pks) > 100:
            raise self.make_error("many")
        return pks
