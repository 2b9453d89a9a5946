"""Rows in a statement whose values are passed as one JSON array.

psycopg needs many times as long for one array for each column.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    ColumnElement,
    FromClause,
    String,
    Table,
    TypeDecorator,
    bindparam,
    cast,
    column,
    func,
)
from sqlalchemy.types import TypeEngine


def json_rows(name: str, types: Mapping[str, TypeEngine[Any]]) -> FromClause:
    """Return the rows of the JSON in the parameter `name`, as a table of that name."""
    columns = [column(each, type_) for each, type_ in types.items()]
    rows = func.json_to_recordset(cast(bindparam(name, type_=String()), JSON))
    return rows.table_valued(*columns, name=name).render_derived(with_types=True)


def json_row_values(
    name: str, table: Table, columns: Sequence[str]
) -> dict[str, ColumnElement[Any]]:
    """Return the values for columns of a table, from the rows of `json_rows`."""
    rows = json_rows(name, {each: json_type(table.c[each].type) for each in columns})
    return {each: rows.c[each] for each in columns}


def json_type(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type as which values for a column are read.

    A text has no length: it would cut what is too long, where the column refuses it. A derived text
    is made already.
    """
    return String() if isinstance(type_, String | TypeDecorator) else type_


def to_json(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the JSON of rows; a value that is missing in one of them is NULL."""
    return ENCODER.encode([*rows])


def _to_text(value: Any) -> str:
    return _uuid_to_text(value) if isinstance(value, UUID) else str(value)


# Children of many rows refer to the same rows.
_uuid_to_text = lru_cache(maxsize=4096)(str)
# Looking for circles would take most of the time.
ENCODER = json.JSONEncoder(
    default=_to_text, ensure_ascii=False, separators=(",", ":"), check_circular=False
)
