"""Points in time."""

import re
from datetime import UTC, datetime
from typing import Any

from marshmallow import fields
from sqlalchemy import ColumnElement, String, func, literal_column

from .documented import DocumentedField
from .messages import DEFAULT_MESSAGES, CodedMessage

# RFC 3339 §5.6; the colon of the offset may be missing, as in ISO 8601. From Python 3.14 on,
# `datetime.fromisoformat` accepts the hour 24.
RFC_3339_PATTERN = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]((?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2})(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:?[0-5][0-9])"
)
# The + of an offset, decoded as a blank: in a query it must be sent as %2B.
DECODED_PLUS_PATTERN = re.compile(r" (?=[0-9]{2}:?[0-9]{2}$)")

# Literals in the statement: bound parameters would be sent with each execution.
UTC_ZONE: ColumnElement[str] = literal_column("'UTC'")
RFC_3339_FORMAT: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'""")


class UtcDateTime(DocumentedField, fields.AwareDateTime):
    """A date and time with an offset (RFC 3339 §5.6), serialized in UTC with six decimals.

    Further decimals are cut off.
    """

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not an RFC 3339 date and time with an offset."),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"example": "2026-11-20T07:15:00.123456+00:00"} | kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        match = RFC_3339_PATTERN.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        date, time, fraction, offset = match.groups(default="")
        try:
            moment = datetime.fromisoformat(f"{date}T{time}{fraction[:7]}{offset.upper()}")
            return moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from error

    def _serialize(self, value: datetime | None, *args: Any, **kwargs: Any) -> str | None:
        return value.astimezone(UTC).isoformat(timespec="microseconds") if value else None

    @staticmethod
    def to_sql(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.to_char(func.timezone(UTC_ZONE, column), RFC_3339_FORMAT, type_=String)


class QueryDateTime(UtcDateTime):
    """A date and time in a query, where the + of its offset may have become a blank."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        return super()._deserialize(DECODED_PLUS_PATTERN.sub("+", value), attr, data, **kwargs)
