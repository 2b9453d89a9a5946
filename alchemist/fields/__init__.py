"""The types of the contract: strict in, exact out, each with its SQL and its documentation."""

from .complaints import COMMON, Complaint
from .instants import UTC_ZONE, Instant
from .keys import CANONICAL_UUID, Pk, Pks
from .lists import Many, Nested
from .numbers import Digits, Exact, Whole
from .schema import Schema
from .words import Choice, Flag, Named, Text

__all__ = [
    "CANONICAL_UUID",
    "COMMON",
    "UTC_ZONE",
    "Choice",
    "Complaint",
    "Digits",
    "Exact",
    "Flag",
    "Instant",
    "Many",
    "Named",
    "Nested",
    "Pk",
    "Pks",
    "Schema",
    "Text",
    "Whole",
]
