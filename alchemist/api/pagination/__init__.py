"""Keyset pagination: the query parameters, the cursor, and the SELECT of a page."""

from .cursor import decode_cursor, encode_cursor
from .keyset import MAX_LIMIT, SortKey, SortOrder
from .list_query import ListQuerySchema, ReferenceFilter, SearchText, Sort
from .page import MAX_TOTAL, Page, paginate
from .text_formats import MAX_PAGE_BYTES, MAX_TEXT_LIMIT, TEXT_FORMATS, TextFormat, select_lines

__all__ = [
    "MAX_LIMIT",
    "MAX_PAGE_BYTES",
    "MAX_TEXT_LIMIT",
    "MAX_TOTAL",
    "TEXT_FORMATS",
    "ListQuerySchema",
    "Page",
    "ReferenceFilter",
    "SearchText",
    "Sort",
    "SortKey",
    "SortOrder",
    "TextFormat",
    "decode_cursor",
    "encode_cursor",
    "paginate",
    "select_lines",
]
