"""Comparing JSON values."""

import json
from contextlib import suppress
from typing import Any

from marshmallow import ValidationError
from marshmallow.fields import Field

from .fields import Pk, UtcDateTime


def canonical_json(value: Any) -> str:
    """Return the same text for equal JSON values; in Python, `True == 1 == 1.0`."""
    return json.dumps(value, sort_keys=True)


def is_equal(field: Field[Any], stored: Any, value: Any) -> bool:
    """Return whether a value is that of a stored field, however the client writes it.

    Generated clients write what they have read in other forms: a time with `Z` or without zeros, a
    UUID in upper case.
    """
    if canonical_json(stored) == canonical_json(value):
        return True
    if isinstance(field, UtcDateTime | Pk):
        with suppress(ValidationError):
            return bool(field.deserialize(value) == field.deserialize(stored))
    return False
