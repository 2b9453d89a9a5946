"""Points in time."""

import re
from datetime import UTC, datetime
from typing import Any

from marshmallow import fields
from sqlalchemy import ColumnElement, func, literal_column

from .messages import DEFAULT_MESSAGES, CodedMessage

RFC_3339_PATTERN = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"([Zz]|[+-][0-9]{2}:[0-5][0-9])"
)

# Constants of the statement, not parameters that travel with each execution.
UTC_ZONE: ColumnElement[str] = literal_column("'UTC'")
RFC_3339_FORMAT: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'""")


class UtcDateTime(fields.AwareDateTime):
    """A point in time: RFC 3339 in UTC with microseconds, always of one length."""

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not an RFC 3339 date and time with an offset."),
        "invalid_awareness": CodedMessage("wrong-type", "The offset from UTC is missing."),
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if not isinstance(value, str) or not RFC_3339_PATTERN.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        try:
            # Python reads the letters as capitals only.
            found = super()._deserialize(value.upper(), attr, data, **kwargs)
            return found.astimezone(UTC)
        except OverflowError as error:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from error

    def __init__(self, **how: Any) -> None:
        described = {"examples": ["2026-11-20T07:15:00.123456+00:00"]}
        super().__init__(metadata=described | how.pop("metadata", {}), **how)

    def _serialize(self, value: datetime | None, *args: Any, **kwargs: Any) -> str | None:
        return value.astimezone(UTC).isoformat(timespec="microseconds") if value else None

    @staticmethod
    def project(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.to_char(func.timezone(UTC_ZONE, column), RFC_3339_FORMAT)
