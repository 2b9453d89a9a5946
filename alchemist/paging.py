"""Keyset pages: a cursor is the sort key of the last row that was seen, bound to its list."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

from marshmallow import Schema
from marshmallow import fields as marshmallow_fields
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, aliased

from alchemist import db, errors, fields, filters, keyset, problems
from alchemist.fields import Complaint
from alchemist.keyset import MAX_LIMIT, Key, Order
from alchemist.representation import document

problems.document(
    "unfitting-cursor",
    400,
    "A cursor continues one list only: the same path, sort and filters, as the `next` link "
    "gave it. Follow that link, or start again without a cursor.",
    "The cursor belongs to another list.",
)


NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def _number(text: str) -> Decimal:
    # A Decimal may also be NaN, or have an exponent that is too much for PostgreSQL.
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


PARSERS: dict[type, Callable[[str], Any]] = {
    UUID: UUID,
    datetime: datetime.fromisoformat,
    Decimal: _number,
    str: str,
}


class Sort(marshmallow_fields.String):
    """Column names separated by commas, `-` before those that descend; the pk breaks ties."""

    default_error_messages = fields.COMMON | {
        "invalid": Complaint("wrong-type", "Not a list of names separated by commas."),
        "not_one_of": Complaint("not-one-of", "Must be some of: {names}."),
        "duplicate": Complaint("duplicate", "A name is given twice."),
    }

    def __init__(self, *columns: InstrumentedAttribute[Any]) -> None:
        self.names = [column.key for column in columns]
        if any(column.nullable for column in columns):
            raise TypeError("A sort key must not be nullable.")
        name = f"-?({'|'.join(self.names)})"
        metadata = {
            "description": "Comma separated, `-` for descending; the `pk` always breaks ties.",
            "pattern": f"^{name}(,{name})*$",
            "examples": [f"-{self.names[1]}"],
        }
        super().__init__(load_default=(Key("pk"),), dump_default="pk", metadata=metadata)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        order = [Key(part.removeprefix("-"), part.startswith("-")) for part in value.split(",")]
        names = [key.name for key in order]
        if not set(names) <= set(self.names):
            raise self.make_error("not_one_of", names=", ".join(self.names))
        if len(set(names)) < len(names):
            raise self.make_error("duplicate")
        # In the direction of the last key, so that one index serves both.
        return tuple(order if "pk" in names else [*order, Key("pk", order[-1].descending)])


class PageArgs(fields.Schema):
    """What every list takes; a list adds its `sort` and its filters."""

    limit = fields.Digits(
        min=1, max=MAX_LIMIT, load_default=50, metadata={"description": "Rows on a page."}
    )
    # Whatever is wrong with a cursor is told in one way.
    cursor = marshmallow_fields.String(
        load_default=None,
        metadata={"description": "Where to continue; from a `next` link, never made by hand."},
    )
    count = fields.Choice(
        "exact",
        load_default=None,
        metadata={"description": "`exact` adds `X-Total-Count`; without it nothing is counted."},
    )


@dataclass(frozen=True)
class Page:
    """A JSON array, the cursor of the page after it, and the number of rows, if counted."""

    body: str
    next_cursor: str | None
    total: int | None


def page(schema: Schema, query: db.Query, place: str, args: Mapping[str, Any]) -> Page:
    """Return a page of `query` in one statement.

    `place` identifies the list and its filters; `args` are those of PageArgs and `sort`.
    Raises a Malformed refusal if the cursor is not one of this list.
    """
    order: Order = args["sort"]
    limit: int = args["limit"]
    cursor = args["cursor"]
    after = [] if cursor is None else _decode(cursor, place, order, query.entity)
    statement = _statement(query.select, schema, order, bool(after), bool(args["count"]))
    values = {f"after_{key.name}": value for key, value in zip(order, after, strict=False)}
    bounds = {"limit": limit, "more": limit + 1}
    [row] = db.fetch_all(statement, {**query.parameters, **values, **bounds})
    body, seen, last, *total = row
    following = _encode(json.loads(last), place, order) if seen > limit else None
    return Page(body, following, total[0] if total else None)


# Clients choose sorts and filters: there are more shapes of pages than would fit into memory.
@lru_cache(maxsize=100)
def _statement(
    query: Select[Any], schema: Schema, order: Order, continued: bool, counted: bool
) -> Select[Any]:
    entity = query.column_descriptions[0]["entity"]
    is_one_way = len({key.descending for key in order}) == 1
    lead = filters.lead(query, [key.name for key in order]) if is_one_way else None
    limited = keyset.limited(query, lead, order, continued).subquery()
    inner = [limited.c[key.name] for key in order]
    number = func.row_number().over(order_by=keyset.directed(inner, order)).label("row_number")
    numbered = select(limited, number).subquery()
    row, n = aliased(entity, numbered), numbered.c.row_number
    limit = bindparam("limit", type_=Integer())
    last = func.json_build_array(*(_text(numbered.c[key.name]) for key in order))
    shown = func.json_agg(aggregate_order_by(document(schema, row), n)).filter(n <= limit)
    columns: list[ColumnElement[Any]] = [
        cast(func.coalesce(shown, func.json_build_array()), String),
        func.count(n),
        func.max(cast(last, String)).filter(n == limit),
    ]
    if counted:
        columns.append(select(func.count()).select_from(query.subquery()).scalar_subquery())
    statement = select(*columns)
    # Without a filter, or with one that leads, one plan is as good as can be for any values. Else
    # such a plan does not know what is frequent and what is rare, and would be kept all the same.
    is_steady = len(filters.conditions(query)) == bool(lead)
    return statement if is_steady else statement.execution_options(prepare=False)


def _text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if column.type.python_type is datetime:
        return fields.Instant.project(column)
    return cast(column, String)


def _fingerprint(place: str, order: Order, values: Sequence[str]) -> str:
    return blake2b(repr((place, order, list(values))).encode(), digest_size=9).hexdigest()


def _encode(values: Sequence[str], place: str, order: Order) -> str:
    content = json.dumps([_fingerprint(place, order, values), *values], separators=(",", ":"))
    return urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _decode(cursor: str, place: str, order: Order, entity: Any) -> list[Any]:
    """Return the values of a cursor that `_encode` has made for this list."""
    with suppress(ValueError, TypeError, ArithmeticError, RecursionError):
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        _, *values = json.loads(urlsafe_b64decode(padded))
        if _encode(values, place, order) == cursor and all(map(_is_storable, values)):
            types = [getattr(entity, key.name).type.python_type for key in order]
            return [PARSERS[kind](value) for kind, value in zip(types, values, strict=True)]
    detail = "The cursor is not one of this list with this sort and these filters."
    raise errors.Malformed.at("parameter", "cursor", detail, "unfitting-cursor")


def _is_storable(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value and bool(value.encode())
