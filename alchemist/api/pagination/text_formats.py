"""Lists as text with a line for each row: CSV and NDJSON, made by PostgreSQL."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    Select,
    String,
    Uuid,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.orm import aliased

from alchemist.api.json_select import Alias, json_object, labelled_columns

# Rows and bytes of a page. A page ends before the row that would make it longer.
MAX_TEXT_LIMIT = 10_000
MAX_PAGE_BYTES = 16 * 1024 * 1024
# Types whose text needs no quotes.
UNQUOTED_TYPES = (Boolean, Integer, Uuid)
COMMA, QUOTE, TWO_QUOTES, NOTHING = (
    literal_column(f"'{text}'", String) for text in (",", '"', '""', "")
)
CRLF, LF = literal_column(r"E'\r\n'", String), literal_column(r"E'\n'", String)


@dataclass(frozen=True)
class TextFormat:
    """A text representation of lists.

    `header` returns the text before the rows, and `line` the expression for the text of a row.
    """

    name: str
    media_type: str
    content_type: str
    header: Callable[[Schema], str]
    line: Callable[[Schema, Alias], ColumnElement[str]]


def select_lines(query: Select[Any], schema: Schema, text_format: TextFormat) -> Select[Any]:
    """Return the SELECT of the lines of all rows of `query`, in order of creation."""
    rows = query.subquery()
    row = aliased(query.column_descriptions[0]["entity"], rows)
    return select(text_format.line(schema, row)).select_from(rows).order_by(rows.c.pk)


def _csv_header(schema: Schema) -> str:
    names = [field.data_key or name for name, field in schema.dump_fields.items()]
    return ",".join(names) + "\r\n"


def _csv_line(schema: Schema, row: Alias) -> ColumnElement[str]:
    """Return the expression for a record (RFC 4180 §2) with the values of the JSON object.

    A text is quoted, and null is an empty field without quotes. Lists and objects are JSON texts.
    """
    columns = select(*labelled_columns(schema, row)).correlate(row).subquery()
    fields = [_csv_field(column) for column in columns.c]
    with_commas = [part for field in fields for part in (COMMA, field)][1:]
    return select(func.concat(*with_commas, CRLF, type_=String)).scalar_subquery()


def _csv_field(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # It uses the column once, because PostgreSQL may compute it again for each use.
    if isinstance(column.type, UNQUOTED_TYPES):
        return column
    is_text = isinstance(column.type, String)
    text = column if is_text else _on_one_line(func.to_json(column))
    return QUOTE + func.replace(text, QUOTE, TWO_QUOTES, type_=String) + QUOTE


def _ndjson_line(schema: Schema, row: Alias) -> ColumnElement[str]:
    return _on_one_line(json_object(schema, row)) + LF


def _on_one_line(json: ColumnElement[Any]) -> ColumnElement[str]:
    """Return JSON without the line breaks of json_agg. In strings, line breaks are escaped."""
    return func.replace(cast(json, String), LF, NOTHING, type_=String)


CSV = TextFormat(
    "csv", "text/csv", "text/csv; charset=utf-8; header=present", _csv_header, _csv_line
)
NDJSON = TextFormat(
    "ndjson", "application/x-ndjson", "application/x-ndjson", lambda _schema: "", _ndjson_line
)
TEXT_FORMATS = (CSV, NDJSON)
