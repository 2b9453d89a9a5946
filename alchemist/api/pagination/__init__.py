"""Keyset pagination: the query parameters, the cursor, and the SELECT of a page."""

from .cursor import decode_cursor, encode_cursor
from .keyset import MAX_LIMIT, SortKey, SortOrder
from .list_query import ListQuerySchema, Sort
from .page import Page, paginate

__all__ = [
    "MAX_LIMIT",
    "ListQuerySchema",
    "Page",
    "Sort",
    "SortKey",
    "SortOrder",
    "decode_cursor",
    "encode_cursor",
    "paginate",
]
