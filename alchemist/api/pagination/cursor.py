"""Cursors: the sort key of the last row on a page, bound to one list."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any
from uuid import UUID

from alchemist import errors

from .keyset import SortOrder

errors.register(
    "invalid-cursor",
    400,
    "A cursor continues one list only: the same path, sort and filters, as the `next` link "
    "gave it. Follow that link, or start again without a cursor.",
    "The cursor belongs to another list.",
)


NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def _parse_decimal(text: str) -> Decimal:
    # A Decimal may also be NaN, or have an exponent that is too much for PostgreSQL.
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


PARSERS: dict[type, Callable[[str], Any]] = {
    UUID: UUID,
    datetime: datetime.fromisoformat,
    Decimal: _parse_decimal,
    str: str,
}


def _fingerprint(place: str, order: SortOrder, values: Sequence[str]) -> str:
    return blake2b(repr((place, order, list(values))).encode(), digest_size=9).hexdigest()


def encode_cursor(values: Sequence[str], place: str, order: SortOrder) -> str:
    content = json.dumps([_fingerprint(place, order, values), *values], separators=(",", ":"))
    return urlsafe_b64encode(content.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, place: str, order: SortOrder, entity: Any) -> list[Any]:
    """Return the values of a cursor that `encode_cursor` has made for this list."""
    with suppress(ValueError, TypeError, ArithmeticError, RecursionError):
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        _, *values = json.loads(urlsafe_b64decode(padded))
        if encode_cursor(values, place, order) == cursor and all(map(_is_storable, values)):
            types = [getattr(entity, key.name).type.python_type for key in order]
            return [PARSERS[kind](value) for kind, value in zip(types, values, strict=True)]
    detail = "The cursor is not one of this list with this sort and these filters."
    raise errors.BadRequest.at_location("parameter", "cursor", detail, "invalid-cursor")


def _is_storable(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value and bool(value.encode())
