"""Full-text search: the vector that an index holds, and the condition that uses it."""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, func, text


def search_vector(*columns: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the text-search vector of some columns, as an index and its queries must spell it.

    Constants are text: a bound parameter would keep a generic plan from using the index.
    """
    first, *others = (func.coalesce(column, text("''")) for column in columns)
    vector: ColumnElement[Any] = first
    for other in others:
        vector = vector.op("||")(text("' '")).op("||")(other)
    return func.to_tsvector(text("'simple'::regconfig"), vector)


def matches_words(vector: ColumnElement[Any], wanted: Any) -> ColumnElement[bool]:
    """Return the condition that every word of `wanted` stands in `vector`, in any order or case.

    All words are asked for twice, which finds the same rows. PostgreSQL takes a word that it knows
    nothing of for one in 200 rows, and would rather walk along the keys until it has met enough of
    those; of a word that is asked for twice, it expects so few that it looks them up.
    """
    query = func.plainto_tsquery(text("'simple'::regconfig"), wanted)
    return vector.op("@@", return_type=Boolean())(query.op("&&")(query))
