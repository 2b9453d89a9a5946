"""The rows of a list that stand behind a cursor, in the list's order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
    tuple_,
)

from alchemist import database as db

from . import leading_index
from .leading_index import IndexPrefix

MAX_LIMIT = 200
PLANNER_LIMIT = literal_column(str(MAX_LIMIT + 1), Integer)


@dataclass(frozen=True)
class SortKey:
    """One column of a sort order."""

    name: str
    descending: bool = False


SortOrder = tuple[SortKey, ...]


def keyset_select(
    query: Select[Any], lead: IndexPrefix | None, order: SortOrder, continued: bool
) -> Select[Any]:
    """Return the rows of a page, and one more if there is one."""
    entity = query.column_descriptions[0]["entity"]
    conditions = leading_index.where_clauses(query)
    keys = [db.table(entity).c[key.name] for key in order]
    first: list[ColumnElement[Any]] = []
    if lead:
        # The keys are those of the index, and the column before them all has one value.
        order = tuple(key for key in order if key.name in lead.keys)
        keys = [lead.keys[key.name] for key in order]
        conditions = [each for each in conditions if each is not lead.condition] + [lead.one_of()]
        first = order_by_clauses([lead.column], order[:1])
    if continued:
        # The cursor bounds the first key, too, and closer. Of two such bounds PostgreSQL may start
        # at the other, and read all that is between.
        begins = partial(
            leading_index.bounds_range_start, column=keys[0], descending=order[0].descending
        )
        conditions = [each for each in conditions if not begins(each)] + [after_cursor(keys, order)]
    rows = select(entity).select_from(*query.get_final_froms()).where(*conditions)
    ordered = rows.order_by(*first, *order_by_clauses(keys, order))
    # The planner takes an unknown limit for a tenth of the table; the constant one tells it better.
    return select(ordered.limit(PLANNER_LIMIT).subquery()).limit(bindparam("more"))


def order_by_clauses(columns: Sequence[Any], order: SortOrder) -> list[ColumnElement[Any]]:
    return [
        column.desc() if key.descending else column.asc()
        for column, key in zip(columns, order, strict=True)
    ]


def after_cursor(columns: Sequence[Any], order: SortOrder) -> ColumnElement[bool]:
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
