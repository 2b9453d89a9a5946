"""A page of a list, with its JSON, in one statement."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from marshmallow import Schema
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
from sqlalchemy.orm import aliased

from alchemist import database as db
from alchemist.api import fields
from alchemist.api.json_select import json_object

from . import keyset, leading_index
from .cursor import decode_cursor, encode_cursor
from .keyset import SortOrder


@dataclass(frozen=True)
class Page:
    """A JSON array, the cursor of the page after it, and the number of rows, if counted."""

    body: str
    next_cursor: str | None
    total: int | None


def paginate(schema: Schema, query: db.Query, place: str, args: Mapping[str, Any]) -> Page:
    """Return a page of `query` in one statement.

    `place` identifies the list and its filters; `args` are those of PageArgs and `sort`.
    Raises a Malformed refusal if the cursor is not one of this list.
    """
    order: SortOrder = args["sort"]
    limit: int = args["limit"]
    cursor = args["cursor"]
    after = [] if cursor is None else decode_cursor(cursor, place, order, query.model)
    statement = _page_statement(query.select, schema, order, bool(after), bool(args["count"]))
    values = {f"after_{key.name}": value for key, value in zip(order, after, strict=False)}
    bounds = {"limit": limit, "more": limit + 1}
    [row] = db.fetch_all(statement, {**query.parameters, **values, **bounds})
    body, seen, last, *total = row
    following = encode_cursor(json.loads(last), place, order) if seen > limit else None
    return Page(body, following, total[0] if total else None)


# Clients choose sorts and filters: there are more shapes of pages than would fit into memory.
@lru_cache(maxsize=100)
def _page_statement(
    query: Select[Any], schema: Schema, order: SortOrder, continued: bool, counted: bool
) -> Select[Any]:
    entity = query.column_descriptions[0]["entity"]
    is_one_way = len({key.descending for key in order}) == 1
    lead = (
        leading_index.find_index_prefix(query, [key.name for key in order]) if is_one_way else None
    )
    limited = keyset.keyset_select(query, lead, order, continued).subquery()
    inner = [limited.c[key.name] for key in order]
    number = (
        func.row_number().over(order_by=keyset.order_by_clauses(inner, order)).label("row_number")
    )
    numbered = select(limited, number).subquery()
    row, n = aliased(entity, numbered), numbered.c.row_number
    limit = bindparam("limit", type_=Integer())
    last = func.json_build_array(*(_as_text(numbered.c[key.name]) for key in order))
    shown = func.json_agg(aggregate_order_by(json_object(schema, row), n)).filter(n <= limit)
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
    is_steady = len(leading_index.where_clauses(query)) == bool(lead)
    return statement if is_steady else statement.execution_options(prepare=False)


def _as_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if column.type.python_type is datetime:
        return fields.UtcDateTime.to_sql(column)
    return cast(column, String)
