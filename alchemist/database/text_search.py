"""Full-text search: the vector that is indexed, and the condition that uses the index."""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, func, text


def search_vector(*columns: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the text-search vector of text columns, the same for an index and its queries."""
    # Constants are literals: with bound parameters, a generic plan could not use the index.
    first, *others = (func.coalesce(column, text("''")) for column in columns)
    document: ColumnElement[Any] = first
    for column in others:
        document = document.op("||")(text("' '")).op("||")(column)
    return func.to_tsvector(text("'simple'::regconfig"), document)


def matches_words(vector: ColumnElement[Any], words: Any) -> ColumnElement[bool]:
    """Return the condition that `vector` contains every word of `words`, in any order and case."""
    query = func.plainto_tsquery(text("'simple'::regconfig"), words)
    # The query is ANDed with itself: the same rows, but a lower row estimate. PostgreSQL takes a
    # word without statistics for one in 200 rows, and would scan in key order until it had found
    # enough of them; with the lower estimate it uses the GIN index.
    return vector.op("@@", return_type=Boolean())(query.op("&&")(query))
