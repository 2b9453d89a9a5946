"""Conditions as PostgreSQL understands them."""

import re

from sqlalchemy import Text, cast, func, select, text

from alchemist import database as db


def test_an_unknown_word_is_taken_for_rarer_than_a_page(client):
    """Of one that is asked for once, PostgreSQL expects 5,000 in a million rows."""
    number = func.generate_series(1, 1_000_000).column_valued("number")
    vector = func.to_tsvector(text("'simple'::regconfig"), cast(number, Text))
    query = select(number).where(db.matches_words(vector, "seven"))
    connection = db.session.connection()
    compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
    [plan, *_] = connection.exec_driver_sql(f"EXPLAIN {compiled}").scalars()
    assert int(re.search(r" rows=(\d+)", plan)[1]) < 50
