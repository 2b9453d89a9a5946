"""The types of the contract: strict in, exact out, each with its SQL and its documentation."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Self
from unicodedata import normalize
from uuid import UUID

import marshmallow
from marshmallow import RAISE, fields, validate
from sqlalchemy import ColumnElement, String, cast, func, literal_column
from sqlalchemy.orm import InstrumentedAttribute

RFC_3339_TEXT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
CANONICAL_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

# Constants of the statement, not parameters that travel with each execution.
UTC_ZONE: ColumnElement[str] = literal_column("'UTC'")
RFC_3339: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'""")


class Complaint(str):
    """A message of marshmallow's that knows its problem code."""

    code: str

    def __new__(cls, code: str, text: str) -> Self:
        complaint = super().__new__(cls, text)
        complaint.code = code
        return complaint

    def format(self, *args: object, **kwargs: object) -> "Complaint":
        return Complaint(self.code, super().format(*args, **kwargs))

    def __deepcopy__(self, memo: object) -> "Complaint":
        return self


COMMON: dict[str, Any] = {
    "required": Complaint("required", "This field is required."),
    "null": Complaint("null", "This field cannot be null."),
    "validator_failed": Complaint("invalid", "Invalid value."),
}


def length(minimum: int | None, maximum: int | None, unit: str) -> list[validate.Validator]:
    """Return one validator for each bound, so that each has its own code."""
    # One character that is no white space, that is.
    least = {"characters": "Must not be blank.", "members": "Must have at least one member."}
    low = least[unit] if minimum == 1 else f"Must have at least {{min}} {unit}."
    high = f"Must have at most {{max}} {unit}."
    bounds: list[validate.Validator] = []
    if minimum is not None:
        bounds.append(validate.Length(min=minimum, error=Complaint("too-short", low)))
    if maximum is not None:
        bounds.append(validate.Length(max=maximum, error=Complaint("too-long", high)))
    return bounds


class Schema(marshmallow.Schema):
    """A strict schema: what it does not know it refuses."""

    error_messages = {
        "type": Complaint("wrong-type", "Not an object."),
        "unknown": Complaint("unknown-field", "Unknown field."),
    }

    # Fields that are decided by the creation of a row, and read-only from then on.
    settled: ClassVar[tuple[str, ...]] = ()

    class Meta:
        unknown = RAISE

    @classmethod
    def patch(cls) -> Self:
        """Return the schema of a merge patch."""
        return cls(partial=True, dump_only=cls.settled)

    @classmethod
    def writable(cls, *, partial: bool = False) -> Self:
        """Return the schema without what a client may only read, for the documentation."""
        settled = cls.settled if partial else ()
        return cls(exclude=[*_read_only(cls()), *settled], partial=partial)

    @property
    def is_written(self) -> bool:
        return bool(self.exclude)


def _read_only(schema: marshmallow.Schema) -> Iterator[str]:
    for name, field in schema.fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        if field.dump_only or field.metadata.get("readOnly"):
            yield name
        elif isinstance(inner, fields.Nested):
            yield from (f"{name}.{nested}" for nested in _read_only(inner.schema))


class Text(fields.String):
    """Text without surrounding white space, in NFC; lengths count code points.

    NUL and lone surrogates are refused: PostgreSQL and UTF-8 cannot hold them.
    """

    default_error_messages = COMMON | {
        "invalid": Complaint("wrong-type", "Not a string."),
        "unstorable": Complaint("wrong-type", "Holds a NUL character or half a surrogate pair."),
    }

    def __init__(self, *, max: int, min: int = 0, example: str | None = None, **how: Any) -> None:
        # White space at the edges does not count, so that one character must be another. Half a
        # surrogate pair is not mentioned: it has no place in UTF-8.
        pattern = r"^[^\x00]*[^\s\x00\x1c-\x1f\x85][^\x00]*$" if min else r"^[^\x00]*$"
        metadata = {"pattern": pattern, "examples": example and [example]}
        described = how.pop("metadata", {}) | {k: v for k, v in metadata.items() if v}
        super().__init__(validate=length(min or None, max, "characters"), metadata=described, **how)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self.make_error("unstorable") from error
        if "\0" in value:
            raise self.make_error("unstorable")
        return normalize("NFC", value).strip()


class Named(Text):
    """The name of a row in any case, in place of its key; `to` is the column that holds it."""

    is_held, owner = False, None

    def __init__(self, *, to: InstrumentedAttribute[str], **how: Any) -> None:
        self.to: Any = to.class_
        self.column = to
        super().__init__(**how)


class Pk(fields.UUID):
    """A primary key in its canonical form of 36 characters; `to` is the model it refers to.

    The row is held, kept from going, while the request lasts; one that the service locks in an
    order of its own is not. `owner` is the column that says whose it is, and the permission that
    the caller needs for rows of others with `:any`.
    """

    default_error_messages = COMMON | {
        "invalid_uuid": Complaint("wrong-type", "Not a UUID."),
    }

    def __init__(
        self,
        *,
        to: type[Any] | None = None,
        is_held: bool = True,
        owner: tuple[str, str] | None = None,
        example: str | None = None,
        **how: Any,
    ) -> None:
        self.to, self.is_held, self.owner = to, is_held, owner
        described = {"examples": [example]} if example else {}
        super().__init__(metadata=how.pop("metadata", {}) | described, **how)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        if not isinstance(value, str) or not CANONICAL_UUID.fullmatch(value):
            raise self.make_error("invalid_uuid")
        return UUID(value)


class Instant(fields.AwareDateTime):
    """A point in time: RFC 3339 in UTC with microseconds, always of one length."""

    default_error_messages = COMMON | {
        "invalid": Complaint("wrong-type", "Not an RFC 3339 date and time with an offset."),
        "invalid_awareness": Complaint("wrong-type", "The offset from UTC is missing."),
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if not isinstance(value, str) or not RFC_3339_TEXT.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        try:
            return super()._deserialize(value, attr, data, **kwargs).astimezone(UTC)
        except OverflowError as error:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from error

    def __init__(self, **how: Any) -> None:
        described = {"examples": ["2026-11-20T07:15:00.123456+00:00"]}
        super().__init__(metadata=described | how.pop("metadata", {}), **how)

    def _serialize(self, value: datetime | None, *args: Any, **kwargs: Any) -> str | None:
        return value.astimezone(UTC).isoformat(timespec="microseconds") if value else None

    @staticmethod
    def project(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.to_char(func.timezone(UTC_ZONE, column), RFC_3339)


class Exact(fields.Field[Decimal]):
    """A decimal number as a string: never a float on either side of the wire.

    `digits` in all, `places` of them after the point; answered with all its places.
    """

    default_error_messages = COMMON | {
        "type": Complaint("wrong-type", "Not a decimal number in a string, such as “2.5”."),
        "range": Complaint("out-of-range", "{bound}."),
    }

    def __init__(
        self, *, digits: int, places: int, positive: bool = False, example: str, **how: Any
    ) -> None:
        whole = digits - places
        self.places = places
        self.positive = positive
        self.form = re.compile(rf"[0-9]{{1,{whole}}}(\.[0-9]{{1,{places}}})?", re.ASCII)
        self.bound = (
            f"Must be {'greater than 0' if positive else '0 or more'}, with at most {whole} "
            f"digits before the point and {places} after it"
        )
        nonzero = r"(?=.*[1-9])" if positive else ""
        metadata = {
            "pattern": rf"^{nonzero}[0-9]{{1,{whole}}}(\.[0-9]{{1,{places}}})?$",
            "examples": [example],
        }
        super().__init__(metadata=how.pop("metadata", {}) | metadata, **how)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value, re.ASCII):
            raise self.make_error("type")
        if not self.form.fullmatch(value) or (self.positive and not Decimal(value)):
            raise self.make_error("range", bound=self.bound)
        return Decimal(value)

    def _serialize(self, value: Decimal | str | None, *args: Any, **kwargs: Any) -> str | None:
        return None if value is None else f"{Decimal(value):.{self.places}f}"

    @staticmethod
    def project(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return cast(column, String)


class Whole(fields.Integer):
    """A whole number: digits in a query, a JSON integer in a body."""

    default_error_messages = COMMON | {
        "invalid": Complaint("wrong-type", "Not a whole number."),
        "too_large": Complaint("out-of-range", "The number is too large."),
    }

    def __init__(self, *, min: int, max: int, **how: Any) -> None:
        error = Complaint("out-of-range", "Must be between {min} and {max}.")
        super().__init__(strict=True, validate=validate.Range(min, max, error=error), **how)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if type(value) is not int:
            raise self.make_error("invalid")
        return value


class Digits(Whole):
    """A whole number in a query."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
            raise self.make_error("invalid")
        return int(value)


class Flag(fields.Field[bool]):
    """`true` or `false` in a query."""

    default_error_messages = COMMON | {
        "invalid": Complaint("not-one-of", "Must be one of: true, false."),
    }

    def __init__(self, **how: Any) -> None:
        described = {"type": "boolean", "examples": [True]}
        super().__init__(metadata=described | how.pop("metadata", {}), **how)

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if value not in ("true", "false"):
            raise self.make_error("invalid")
        return value == "true"


class Choice(fields.String):
    """One of a few words."""

    default_error_messages = COMMON | {
        "invalid": Complaint("wrong-type", "Not a string."),
    }

    def __init__(self, *choices: str, **how: Any) -> None:
        error = Complaint("not-one-of", "Must be one of: {choices}.")
        super().__init__(validate=validate.OneOf(choices, error=error), **how)


class Pks(fields.Field[list[UUID]]):
    """Primary keys in a query, separated by commas, none of them twice, at most 100."""

    default_error_messages = COMMON | {
        "invalid": Complaint("wrong-type", "Not a list of UUIDs separated by commas."),
        "duplicate": Complaint("duplicate", "A key is given twice."),
        "many": Complaint("too-long", "Must have at most 100 keys."),
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


class Many(fields.List[Any]):
    """A list with bounds on its length.

    `unique` is the member of its objects, or what its texts are short for, that no two share.
    """

    default_error_messages = COMMON | {
        "invalid": Complaint("wrong-type", "Not a list."),
        "many": Complaint("too-long", "Must have at most {max} members."),
    }

    def __init__(
        self, inner: Any, *, max: int = 100, min: int = 0, unique: str | None = None, **how: Any
    ) -> None:
        self.max, self.unique = max, unique
        super().__init__(inner, validate=length(min or None, max, "members"), **how)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        # Before its members are looked at: they could all be wrong, and be as many as fit a body.
        if isinstance(value, list) and len(value) > self.max:
            raise self.make_error("many", max=self.max)
        return super()._deserialize(value, attr, data, **kwargs)


class Nested(fields.Nested):
    """An object inside an object, whole even where only a part of the outer one is sent."""

    default_error_messages = COMMON | {
        "type": Complaint("wrong-type", "Not an object."),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, *_: Any, **kwargs: Any) -> Any:
        return super()._deserialize(value, attr, data, **(kwargs | {"partial": False}))
