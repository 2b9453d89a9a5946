"""Rows in a statement whose values are passed as one array for each column."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
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
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.types import TypeEngine


def unnest(name: str, types: Mapping[str, TypeEngine[Any]]) -> FromClause:
    """Return the rows of the arrays in the parameters `<name>_<column>`, as a table `name`."""
    arrays = [bindparam(f"{name}_{each}", type_=ARRAY(type_)) for each, type_ in types.items()]
    columns = [column(each, type_) for each, type_ in types.items()]
    return func.unnest(*arrays).table_valued(*columns, name=name).render_derived()


def unnest_for(name: str, table: Table, columns: Sequence[str]) -> dict[str, ColumnElement[Any]]:
    """Return the values for columns of a table from the arrays of `unnest`."""
    types = {each: array_item_type(table.c[each].type) for each in columns}
    rows = unnest(name, types)
    # PostgreSQL itself converts all but this type.
    return {
        each: cast(rows.c[each], TSVECTOR())
        if isinstance(table.c[each].type, TSVECTOR)
        else rows.c[each]
        for each in columns
    }


def array_item_type(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type as which values for a column are passed.

    A text has no length: it would cut what is too long, where the column refuses it. A derived
    value is a text, and is made already.
    """
    is_text = isinstance(type_, String | TypeDecorator | TSVECTOR)
    return String() if is_text else type_


def arrays_by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the values by column; one that only some of the rows have is NULL for the others."""
    names = sorted({name for row in rows for name in row})
    return {name: [row.get(name) for row in rows] for name in names}


def array_parameters(name: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the parameters of `unnest`."""
    return {f"{name}_{each}": values for each, values in arrays.items()}
