"""Fetch a page of a list as JSON, in one statement."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from marshmallow import Schema
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from alchemist import database as db
from alchemist.api import fields
from alchemist.api.json_select import json_object

from . import keyset, leading_index
from .cursor import decode_cursor, encode_cursor
from .keyset import MAX_LIMIT, SortOrder
from .text_formats import MAX_PAGE_BYTES, MAX_TEXT_LIMIT, NOTHING, TextFormat

# Rows that are counted at most: counting a million takes half a second.
MAX_TOTAL = 10_000
LIMIT = bindparam("limit", type_=Integer())


@dataclass(frozen=True)
class Page:
    """A list as text, the cursor of the next page if there is one, and the total if counted.

    A total above MAX_TOTAL means that there are more rows than that.
    """

    body: str | bytes
    next_cursor: str | None
    total: int | None


def paginate(
    schema: Schema,
    query: db.Query,
    list_key: str,
    args: Mapping[str, Any],
    text_format: TextFormat | None = None,
) -> Page:
    """Return a page of the rows of `query`, as a JSON array of the objects of `schema`.

    With a `text_format`, return the lines of the rows in UTF-8 instead; the page then ends before
    it would exceed MAX_PAGE_BYTES. `list_key` identifies the list and its filters: a cursor is
    valid for one list only. `args` are the values of ListQuerySchema and of its `sort`. Raise
    BadRequest if the cursor is not of this list.
    """
    order: SortOrder = args["sort"]
    limit: int = args["limit"]
    cursor = args["cursor"]
    after = [] if cursor is None else decode_cursor(cursor, list_key, order, query.model)
    query = query.restricted_to(args.get("only_pks"), args.get("updated_after"))
    statement = _page_statement(
        query.select, schema, order, bool(after), bool(args["count"]), text_format
    )
    cursor_values = {f"after_{key.name}": value for key, value in zip(order, after, strict=False)}
    limits = {"limit": limit, "limit_plus_one": limit + 1}
    [row] = db.fetch_all(statement, {**query.parameters, **cursor_values, **limits})
    body, has_next, last_values, *total = row
    next_cursor = encode_cursor(json.loads(last_values), list_key, order) if has_next else None
    if text_format:
        body = text_format.header(schema).encode() + body
    return Page(body, next_cursor, total[0] if total else None)


# Bounded, because clients choose the sort and the filters, and so the number of statements.
@lru_cache(maxsize=100)
def _page_statement(
    query: Select[Any],
    schema: Schema,
    order: SortOrder,
    has_cursor: bool,
    with_count: bool,
    text_format: TextFormat | None,
) -> Select[Any]:
    """Return the statement whose row is: the body, whether there are more rows, the values of the
    sort keys of the last row, and the total.

    It reads at most one row more than the limit, which is not in the body.
    """
    model = query.column_descriptions[0]["entity"]
    same_direction = len({key.descending for key in order}) == 1
    names = [key.name for key in order]
    index_prefix = leading_index.find_index_prefix(query, names) if same_direction else None
    max_limit = MAX_TEXT_LIMIT if text_format else MAX_LIMIT
    limited = keyset.keyset_select(query, index_prefix, order, has_cursor, max_limit).subquery()
    sort_names = [db.sort_column(db.table(model), name).name for name in names]
    sort_columns = [limited.c[name] for name in sort_names]
    number = func.row_number().over(order_by=keyset.order_by_clauses(sort_columns, order))
    numbered = select(limited, number.label("row_number")).subquery()
    row = aliased(model, numbered)
    sort_values = func.json_build_array(*(_as_text(numbered.c[name]) for name in sort_names))
    if text_format:
        line = text_format.line(schema, row)
        columns = _text_page_columns(line, numbered.c.row_number, cast(sort_values, String))
    else:
        item = json_object(schema, row)
        columns = _json_page_columns(item, numbered.c.row_number, cast(sort_values, String))
    if with_count:
        counted = query.limit(literal_column(str(MAX_TOTAL + 1))).subquery()
        columns.append(select(func.count()).select_from(counted).scalar_subquery())
    statement = select(*columns)
    # Prepare only if a generic plan suits every value: without filters, or with an index prefix.
    # Other filters need a plan for the actual value, which may be frequent or rare.
    can_use_generic_plan = len(leading_index.conditions_of(query)) == bool(index_prefix)
    return statement.execution_options(
        **({} if can_use_generic_plan else {"prepare": False}), binary=text_format is not None
    )


def _json_page_columns(
    item: ColumnElement[Any], n: ColumnElement[int], sort_values: ColumnElement[str]
) -> list[ColumnElement[Any]]:
    array = func.json_agg(aggregate_order_by(item, n)).filter(n <= LIMIT)
    return [
        cast(func.coalesce(array, func.json_build_array()), String),
        func.count(n) > LIMIT,
        func.max(sort_values).filter(n == LIMIT),
    ]


def _text_page_columns(
    line: ColumnElement[str], n: ColumnElement[int], sort_values: ColumnElement[str]
) -> list[ColumnElement[Any]]:
    lines = select(line.label("line"), n.label("n"), sort_values.label("sort_values")).subquery()
    size = func.sum(func.octet_length(lines.c.line)).over(order_by=lines.c.n)
    is_small = (size <= literal_column(str(MAX_PAGE_BYTES))) | (lines.c.n == literal_column("1"))
    sized = select(lines, is_small.label("is_small")).subquery()
    is_on_page = and_(sized.c.n <= LIMIT, sized.c.is_small)
    text = func.string_agg(sized.c.line, aggregate_order_by(NOTHING, sized.c.n)).filter(is_on_page)
    last_first = func.array_agg(
        aggregate_order_by(sized.c.sort_values, sized.c.n.desc()), type_=ARRAY(String)
    )
    return [
        func.convert_to(func.coalesce(text, NOTHING), literal_column("'UTF8'")),
        func.count(sized.c.n) > func.count().filter(is_on_page),
        last_first.filter(is_on_page)[literal_column("1", Integer)],
    ]


def _as_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if column.type.python_type is datetime:
        return fields.UtcDateTime.to_sql(column)
    return cast(column, String)
