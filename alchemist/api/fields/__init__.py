"""The fields of the contract: each validates strictly, and documents itself."""

from .datetimes import UTC_ZONE, QueryDateTime, UtcDateTime
from .messages import DEFAULT_MESSAGES, CodedMessage
from .nested import EnumList, List, Nested, QueryList
from .numbers import DecimalString, QueryInteger, StrictInteger
from .schema import Expansion, Schema
from .strings import Enum, ExternalReference, NameReference, QueryBoolean, Text
from .uuids import CANONICAL_UUID, Pk, UuidList, parse_uuid

__all__ = [
    "CANONICAL_UUID",
    "DEFAULT_MESSAGES",
    "UTC_ZONE",
    "CodedMessage",
    "DecimalString",
    "Enum",
    "EnumList",
    "Expansion",
    "ExternalReference",
    "List",
    "NameReference",
    "Nested",
    "Pk",
    "QueryBoolean",
    "QueryDateTime",
    "QueryInteger",
    "QueryList",
    "Schema",
    "StrictInteger",
    "Text",
    "UtcDateTime",
    "UuidList",
    "parse_uuid",
]
