"""Conditions as PostgreSQL understands them."""

import re

import pytest
from sqlalchemy import Text, cast, func, select, text
from sqlalchemy.dialects.postgresql import TSVECTOR

from alchemist import database as db
from alchemist.domains.ingredients.models import Ingredient
from tests.api.pagination import plans
from tests.factories import make_ingredient


def test_an_unknown_word_is_taken_for_rarer_than_a_page(client):
    """Of one that is asked for once, PostgreSQL expects 5,000 in a million rows."""
    number = func.generate_series(1, 1_000_000).column_valued("number")
    vector = cast(cast(number, Text), TSVECTOR)
    query = select(number).where(db.matches_words(vector, "sun"))
    assert estimated_rows(query) < 50


@pytest.mark.parametrize("word", ["seven", "sev", "s", "薬草"])
def test_rows_with_a_word_that_no_row_has_are_estimated_as_few(client, word):
    for number in range(100):
        make_ingredient(name=f"Ingredient {number}")
    db.session.execute(text("ANALYZE ingredients"))
    query = select(Ingredient.pk).where(db.matches_words(Ingredient.search_words, word))
    assert estimated_rows(query) == 1


def estimated_rows(query):
    statement, parameters = plans.recorded(lambda: db.session.execute(query))
    plan = plans.custom(db.session.connection(), statement, parameters)
    return int(re.search(r" rows=(\d+)", plan)[1])
