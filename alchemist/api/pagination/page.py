"""Fetch a page of a list as JSON, in one statement."""

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
from .keyset import SortOrder

# Rows that are counted at most: counting a million takes half a second.
MAX_TOTAL = 10_000


@dataclass(frozen=True)
class Page:
    """A JSON array, the cursor of the next page if there is one, and the total if counted.

    A total above MAX_TOTAL means that there are more rows than that.
    """

    body: str
    next_cursor: str | None
    total: int | None


def paginate(schema: Schema, query: db.Query, list_key: str, args: Mapping[str, Any]) -> Page:
    """Return a page of the rows of `query`, each as the JSON object of `schema`.

    `list_key` identifies the list and its filters: a cursor is valid for one list only. `args` are
    the values of ListQuerySchema and of its `sort`. Raise BadRequest if the cursor is not of this
    list.
    """
    order: SortOrder = args["sort"]
    limit: int = args["limit"]
    cursor = args["cursor"]
    after = [] if cursor is None else decode_cursor(cursor, list_key, order, query.model)
    query = query.restricted_to(args.get("only_pks"), args.get("updated_after"))
    statement = _page_statement(query.select, schema, order, bool(after), bool(args["count"]))
    cursor_values = {f"after_{key.name}": value for key, value in zip(order, after, strict=False)}
    limits = {"limit": limit, "limit_plus_one": limit + 1}
    [row] = db.fetch_all(statement, {**query.parameters, **cursor_values, **limits})
    body, row_count, last_values, *total = row
    has_next = row_count > limit
    next_cursor = encode_cursor(json.loads(last_values), list_key, order) if has_next else None
    return Page(body, next_cursor, total[0] if total else None)


# Bounded, because clients choose the sort and the filters, and so the number of statements.
@lru_cache(maxsize=100)
def _page_statement(
    query: Select[Any], schema: Schema, order: SortOrder, has_cursor: bool, with_count: bool
) -> Select[Any]:
    """Return the statement whose row is: JSON array, row count, last sort values, and the total.

    It has at most one row more than the limit; that one is counted, but is not in the array.
    """
    model = query.column_descriptions[0]["entity"]
    same_direction = len({key.descending for key in order}) == 1
    names = [key.name for key in order]
    index_prefix = leading_index.find_index_prefix(query, names) if same_direction else None
    limited = keyset.keyset_select(query, index_prefix, order, has_cursor).subquery()
    sort_names = [db.sort_column(db.table(model), name).name for name in names]
    sort_columns = [limited.c[name] for name in sort_names]
    number = func.row_number().over(order_by=keyset.order_by_clauses(sort_columns, order))
    numbered = select(limited, number.label("row_number")).subquery()
    row, n = aliased(model, numbered), numbered.c.row_number
    limit = bindparam("limit", type_=Integer())
    items_json = func.json_agg(aggregate_order_by(json_object(schema, row), n)).filter(n <= limit)
    sort_values = func.json_build_array(*(_as_text(numbered.c[name]) for name in sort_names))
    columns: list[ColumnElement[Any]] = [
        cast(func.coalesce(items_json, func.json_build_array()), String),
        func.count(n),
        func.max(cast(sort_values, String)).filter(n == limit),
    ]
    if with_count:
        counted = query.limit(literal_column(str(MAX_TOTAL + 1))).subquery()
        columns.append(select(func.count()).select_from(counted).scalar_subquery())
    statement = select(*columns)
    # Prepare only if a generic plan suits every value: without filters, or with an index prefix.
    # Other filters need a plan for the actual value, which may be frequent or rare.
    can_use_generic_plan = len(leading_index.conditions_of(query)) == bool(index_prefix)
    return statement if can_use_generic_plan else statement.execution_options(prepare=False)


def _as_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if column.type.python_type is datetime:
        return fields.UtcDateTime.to_sql(column)
    return cast(column, String)
