"""Cursors: the sort key values of the last row of a page, bound to one list."""

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

errors.register_problem_type(
    "invalid-cursor",
    400,
    "A cursor is valid only with the path, sort and filters of the list that returned it. Follow "
    "the `next` link without changes, or start again without a cursor.",
    "The cursor belongs to another list.",
)

# PostgreSQL stores it in no text.
SEPARATOR = "\0"
NUMBER_PATTERN = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def _parse_decimal(text: str) -> Decimal:
    # Decimal() also takes NaN, and exponents that PostgreSQL rejects.
    if not NUMBER_PATTERN.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


PARSERS: dict[type, Callable[[str], Any]] = {
    UUID: UUID,
    datetime: datetime.fromisoformat,
    Decimal: _parse_decimal,
    str: str,
}


def _checksum(list_key: str, order: SortOrder, values: Sequence[str]) -> str:
    return blake2b(repr((list_key, order, list(values))).encode(), digest_size=9).hexdigest()


def encode_cursor(values: Sequence[str], list_key: str, order: SortOrder) -> str:
    """Return the cursor after the row with these sort key values, in characters of URLs.

    `list_key` identifies the list and its filters. The cursor is valid for them and for `order`.
    """
    content = SEPARATOR.join([_checksum(list_key, order, values), *values])
    return urlsafe_b64encode(content.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, list_key: str, order: SortOrder, model: Any) -> list[Any]:
    """Return the sort key values in a cursor that `encode_cursor` returned for the same list.

    The values have the types of the columns of `model`. Raise BadRequest for any other cursor.
    """
    with suppress(ValueError, ArithmeticError):
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        _, *values = urlsafe_b64decode(padded).decode().split(SEPARATOR)
        if encode_cursor(values, list_key, order) == cursor:
            types = [getattr(model, key.name).type.python_type for key in order]
            return [PARSERS[type_](value) for type_, value in zip(types, values, strict=True)]
    detail = "The cursor does not belong to this list with this sort and these filters."
    raise errors.BadRequest.at_location("parameter", "cursor", detail, "invalid-cursor")
