"""WHERE, ORDER BY and LIMIT of keyset pagination."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)

from alchemist import database as db

from . import leading_index
from .leading_index import IndexPrefix

MAX_LIMIT = 200


@dataclass(frozen=True)
class SortKey:
    """One column of a sort order."""

    name: str
    descending: bool = False


SortOrder = tuple[SortKey, ...]


def keyset_select(
    query: Select[Any],
    index_prefix: IndexPrefix | None,
    order: SortOrder,
    has_cursor: bool,
    max_limit: int,
) -> Select[Any]:
    """Return the SELECT of the rows of a page, plus one row that shows there is a next page.

    A page has at most `max_limit` rows. The parameters are `limit_plus_one` and, with a cursor,
    `after_<name>` for each sort key.
    """
    model = query.column_descriptions[0]["entity"]
    conditions = leading_index.conditions_of(query)
    columns = [db.sort_column(db.table(model), key.name) for key in order]
    prefix_order: list[ColumnElement[Any]] = []
    if index_prefix:
        # Sort by the columns of the index. Its first column has one value, and can be left out of
        # the sort order, but not of ORDER BY.
        order = tuple(key for key in order if key.name in index_prefix.keys)
        columns = [index_prefix.keys[key.name] for key in order]
        conditions = [each for each in conditions if each is not index_prefix.condition]
        conditions.append(index_prefix.as_any_equality())
        prefix_order = order_by_clauses([index_prefix.column], order[:1])
    if has_cursor:
        # A filter that bounds the start of the range is wider than the cursor. PostgreSQL might
        # start the index scan there, and read all rows up to the cursor.
        bounds_start = partial(
            leading_index.bounds_range_start, column=columns[0], descending=order[0].descending
        )
        conditions = [each for each in conditions if not bounds_start(each)]
        conditions.append(after_cursor_condition(columns, order))
    rows = select(model).select_from(*query.get_final_froms()).where(*conditions)
    ordered = rows.order_by(*prefix_order, *order_by_clauses(columns, order))
    if index_prefix and index_prefix.values is not None:
        ordered = _merge_rows_of_values(ordered, index_prefix.values, columns, order, max_limit)
    return _limit_rows(ordered, max_limit)


def _merge_rows_of_values(
    ordered: Select[Any],
    values: FromClause,
    columns: Sequence[Any],
    order: SortOrder,
    max_limit: int,
) -> Select[Any]:
    """Return the rows of all `values` in one order: an index scan for each, and a sort."""
    of_value = _limit_rows(ordered.correlate(values), max_limit).lateral()
    rows = select(of_value).select_from(values.join(of_value, true()))
    return rows.order_by(*order_by_clauses([of_value.c[each.name] for each in columns], order))


def _limit_rows(rows: Select[Any], max_limit: int) -> Select[Any]:
    """Return the first rows: `limit_plus_one` of them, and at most one more than `max_limit`.

    A bound LIMIT is estimated as 10 % of the table. The constant inner LIMIT gives the planner a
    usable estimate.
    """
    largest_page = rows.limit(literal_column(str(max_limit + 1), Integer)).subquery()
    return select(largest_page).limit(bindparam("limit_plus_one"))


def order_by_clauses(columns: Sequence[Any], order: SortOrder) -> list[ColumnElement[Any]]:
    """Return the columns, each ascending or descending as the sort key with the same index."""
    return [
        column.desc() if key.descending else column.asc()
        for column, key in zip(columns, order, strict=True)
    ]


def after_cursor_condition(columns: Sequence[Any], order: SortOrder) -> ColumnElement[bool]:
    """Return the condition that a row comes after the cursor in the sort order."""
    values = [
        bindparam(f"after_{key.name}", type_=column.type)
        for column, key in zip(columns, order, strict=True)
    ]
    directions = {key.descending for key in order}
    if len(directions) == 1:
        row, cursor_values = tuple_(*columns), tuple_(*values)
        return row < cursor_values if directions.pop() else row > cursor_values
    # With mixed directions, a row comes after the cursor if it is equal in the first n keys and
    # strictly after it in the next one. The bound on the first key lets an index scan start there.
    strictly_after = [
        column < value if key.descending else column > value
        for column, value, key in zip(columns, values, order, strict=True)
    ]
    equal = [column == value for column, value in zip(columns, values, strict=True)]
    alternatives = [and_(*equal[:i], after) for i, after in enumerate(strictly_after)]
    column, value = columns[0], values[0]
    range_start = column <= value if order[0].descending else column >= value
    return and_(range_start, or_(*alternatives))
