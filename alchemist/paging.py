"""Keyset pages: a cursor is the sort key of the last row that was seen, bound to its list."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any
from uuid import UUID

from flask import Flask
from marshmallow import Schema
from marshmallow import fields as marshmallow_fields
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    cast,
    event,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, aliased

from alchemist import db, errors, fields, filters, problems
from alchemist.fields import Complaint
from alchemist.filters import Lead
from alchemist.representation import document

MAX_LIMIT = 200
BOUND = literal_column(str(MAX_LIMIT + 1), Integer)

problems.document(
    "unfitting-cursor",
    400,
    "A cursor continues one list only: the same path, sort and filters, as the `next` link "
    "gave it. Follow that link, or start again without a cursor.",
    "The cursor belongs to another list.",
)


@dataclass(frozen=True)
class Key:
    """One column of a sort order."""

    name: str
    descending: bool = False


Order = tuple[Key, ...]
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
    row = db.fetch(statement, {**query.parameters, **values, "limit": limit, "more": limit + 1})
    assert row is not None  # noqa: S101  an aggregate without GROUP BY
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
    limited = _limited(query, lead, order, continued).subquery()
    inner = [limited.c[key.name] for key in order]
    number = func.row_number().over(order_by=_directed(inner, order)).label("row_number")
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
    # Without a filter, or with one that leads, one plan is as good as can be for any values.
    is_steady = len(filters.conditions(query)) == bool(lead)
    return statement if is_steady else statement.execution_options(planned_anew=True)


def _plan_anew(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Have PostgreSQL plan a statement for its values, although it has seen it before.

    A plan for any values does not know what is frequent and what is rare. It is taken all the same
    if it looks cheaper than those of the first calls, and kept for as long as the connection lives.
    """
    if not context.execution_options.get("planned_anew"):
        return False
    cursor.execute(statement, parameters, prepare=False)
    return True


def init_app(app: Flask) -> None:
    event.listen(app.extensions["read_engine"], "do_execute", _plan_anew)


def _limited(query: Select[Any], lead: Lead | None, order: Order, continued: bool) -> Select[Any]:
    """Return the rows of a page, and one more if there is one."""
    entity = query.column_descriptions[0]["entity"]
    conditions = filters.conditions(query)
    keys = [db.table(entity).c[key.name] for key in order]
    first: list[ColumnElement[Any]] = []
    if lead:
        # The keys are those of the index, and the column before them all has one value.
        order = tuple(key for key in order if key.name in lead.keys)
        keys = [lead.keys[key.name] for key in order]
        conditions = [each for each in conditions if each is not lead.condition] + [lead.one_of()]
        first = _directed([lead.column], order[:1])
    if continued:
        # The cursor bounds the first key, too, and closer. Of two such bounds PostgreSQL may start
        # at the other, and read all that is between.
        begins = partial(filters.bounds, column=keys[0], descending=order[0].descending)
        conditions = [each for each in conditions if not begins(each)] + [_after(keys, order)]
    rows = select(entity).select_from(*query.get_final_froms()).where(*conditions)
    ordered = rows.order_by(*first, *_directed(keys, order))
    # The planner takes an unknown limit for a tenth of the table; the constant one tells it better.
    return select(ordered.limit(BOUND).subquery()).limit(bindparam("more"))


def _directed(columns: Sequence[Any], order: Order) -> list[ColumnElement[Any]]:
    return [
        column.desc() if key.descending else column.asc()
        for column, key in zip(columns, order, strict=True)
    ]


def _after(columns: Sequence[Any], order: Order) -> ColumnElement[bool]:
    """Return the condition that a row stands behind the cursor."""
    values = [
        bindparam(f"after_{key.name}", type_=column.type)
        for column, key in zip(columns, order, strict=True)
    ]
    descending = {key.descending for key in order}
    if len(descending) == 1:
        here, there = tuple_(*columns), tuple_(*values)
        return here < there if descending.pop() else here > there
    # Mixed directions: equal in the first keys and beyond in the next. The first key alone
    # bounds the range, so that its index leads to where the page begins.
    beyond = [
        column < value if key.descending else column > value
        for column, value, key in zip(columns, values, order, strict=True)
    ]
    equal = [column == value for column, value in zip(columns, values, strict=True)]
    steps = [and_(*equal[:i], step) for i, step in enumerate(beyond)]
    first = columns[0] <= values[0] if order[0].descending else columns[0] >= values[0]
    return and_(first, or_(*steps))


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
