"""Points in time."""

import re
from datetime import UTC, datetime
from typing import Any

from marshmallow import fields
from sqlalchemy import ColumnElement, func, literal_column

from .messages import DEFAULT_MESSAGES, CodedMessage

# Hour 24 has to be rejected here: `datetime.fromisoformat` accepts it since Python 3.14.
RFC_3339_PATTERN = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"([Zz]|[+-][0-9]{2}:[0-5][0-9])"
)

# Literals in the statement: bound parameters would be sent with each execution.
UTC_ZONE: ColumnElement[str] = literal_column("'UTC'")
RFC_3339_FORMAT: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'""")


class UtcDateTime(fields.AwareDateTime):
    """A date and time with an offset (RFC 3339 §5.6), serialized in UTC with six decimals."""

    default_error_messages = DEFAULT_MESSAGES | {
        "invalid": CodedMessage("wrong-type", "Not an RFC 3339 date and time with an offset."),
        "invalid_awareness": CodedMessage("wrong-type", "The offset from UTC is missing."),
    }

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"examples": ["2026-11-20T07:15:00.123456+00:00"]}
        super().__init__(metadata=metadata | kwargs.pop("metadata", {}), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if not isinstance(value, str) or not RFC_3339_PATTERN.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        try:
            # RFC 3339 allows a lower-case t and z, `datetime.fromisoformat` does not.
            moment = super()._deserialize(value.upper(), attr, data, **kwargs)
            return moment.astimezone(UTC)
        except OverflowError as error:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from error

    def _serialize(self, value: datetime | None, *args: Any, **kwargs: Any) -> str | None:
        return value.astimezone(UTC).isoformat(timespec="microseconds") if value else None

    @staticmethod
    def to_sql(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.to_char(func.timezone(UTC_ZONE, column), RFC_3339_FORMAT)
