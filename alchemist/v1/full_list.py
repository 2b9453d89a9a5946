"""The statement of a whole list, which v1 returns as one array."""

from functools import cache
from typing import Any

from sqlalchemy import Select, String, case, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from alchemist import errors
from alchemist.api.json_select import json_object

from .schema import Schema

MAX_ROWS = 10_000
MAX_MIB = 16
# Bytes of all rows together. A thread needs a multiple of it while it answers.
MAX_BYTES = MAX_MIB * 1024 * 1024

errors.register_problem_type(
    "list-too-long",
    400,
    f"Version 1 returns a list as one array of at most {MAX_ROWS:,} rows and {MAX_MIB} MiB. "
    "Version 2 has pages.",
    "There are more than 10000 rows. Use the pages of /api/v2/potions.",
)


@cache
def full_list_statement(query: Select[Any], schema: Schema) -> Select[Any]:
    """Return the SELECT of whether a list has more than MAX_ROWS rows, and of its JSON in UTF-8.

    The JSON is NULL if there are more rows, or if they have more than MAX_BYTES together: what is
    refused is neither put together nor sent. PostgreSQL looks for the row after the last one
    before it reads any other. As a `str` with emoji, the JSON would need four times the memory.
    """
    model = query.column_descriptions[0]["entity"]
    after_last = query.order_by(model.pk).offset(literal_column(str(MAX_ROWS)))
    check = select(after_last.limit(literal_column("1")).exists().label("has_more_rows")).cte(
        "row_check"
    )
    has_more_rows = select(check.c.has_more_rows).scalar_subquery()
    row = aliased(model, query.subquery())
    item = cast(json_object(schema, row), String).label("item")
    items = select(row.pk, item).where(~has_more_rows).cte("items")
    size = select(func.coalesce(func.sum(func.octet_length(items.c.item)), 0)).scalar_subquery()
    joined = func.string_agg(items.c.item, aggregate_order_by(literal_column("','"), items.c.pk))
    array: Select[Any] = select(
        literal_column("'['") + func.coalesce(joined, "") + literal_column("']'")
    )
    is_small = ~has_more_rows & (size <= literal_column(str(MAX_BYTES)))
    utf8 = func.convert_to(array.scalar_subquery(), literal_column("'UTF8'"))
    return select(has_more_rows, case((is_small, utf8))).execution_options(binary=True)
