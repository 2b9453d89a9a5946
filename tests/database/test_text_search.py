"""Words of texts, and the words that find them."""

from unittest.mock import patch

import pytest
from sqlalchemy import cast, literal, select
from sqlalchemy.dialects.postgresql import TSVECTOR

from alchemist import database as db
from alchemist.database import text_search
from alchemist.database.text_search import search_vector_of
from alchemist.domains.ingredients.models import Ingredient
from tests.api.pagination import plans
from tests.factories import make_ingredient
from tests.properties import given, settings, st

FOUND = {
    "prefix": ("Green tea", "te"),
    "one letter": ("Green tea", "T"),
    "long prefix": ("Valeriana officinalis", "valerian"),
    "no accent": ("Génépi des Alpes", "genepi"),
    "accent": ("Genepi des Alpes", "Génépi"),
    "decomposed": ("Génépi", "ge\u0301ne\u0301pi"),
    "stroke": ("Łódź smørrebrød", "lodz smorre"),
    "case": ("ΧΡΌΝΟΣ Straße", "χρονος STRASSE"),
    "apostrophe": ("L\u2019eau d\u2019été", "eau ete"),
    "quotes": ("The \u201cslow\u201d tea", "slow"),
    "dashes": ("sage\u2013thyme\u2014mint", "thyme mint"),
    "ellipsis": ("More\u2026 tea", "more"),
    "slash": ("mint/sage", "sage"),
    "dot": ("mint.sage", "sage"),
    "no-break space": ("mint\u00a0sage", "sage"),
    "narrow no-break space": ("mint\u202fsage", "sage"),
    "underscore": ("mint_sage", "sage"),
    "hyphen": ("St. John's-wort", "john wort"),
    "punctuation in the query": ("sage thyme", "(sage/thyme)"),
    "order": ("sage thyme mint", "mint sage"),
    "middle of Chinese": ("普洱茶葉", "洱茶"),
    "one Chinese character": ("普洱茶葉", "茶"),
    "whole Chinese": ("普洱茶葉", "普洱茶葉"),
    "Japanese of several scripts": ("お抹茶ラテlatte", "茶ラテ lat"),
    "half-width katakana": ("ガラス瓶", "ｶﾞﾗｽ"),
    "Korean": ("청사과는", "사과"),
    "Thai": ("ชาเขียว", "เขียว"),
    "Hindi": ("नमस्ते दुनिया", "नमस"),
    "Arabic without points": ("شَاي", "شاي"),
    "emoji": ("Tea \U0001f375", "\U0001f375"),
    "zero-width space": ("ma\u200bndrake", "mandrake"),
    "full width": ("\uff33\uff21\uff27\uff25", "sage"),
    "very long word": ("w" * 127, "w" * 127),
}
NOT_FOUND = {
    "inside of a word": ("Green tea", "ea"),
    "one word too many": ("Green tea", "green tea pot"),
    "longer word": ("tea", "teapot"),
    "other Chinese order": ("普洱茶葉", "茶普"),
    "punctuation only": ("Green tea", "\u2014 / ."),
}


@pytest.fixture
def found(client):
    """Return whether `q` finds an ingredient of a name."""

    def call(name, q):
        answer = client.get("/api/v2/ingredients", query_string={"q": q, "limit": 200})
        assert answer.status_code == 200, answer.json
        return name in [row["name"] for row in answer.json]

    return call


@pytest.mark.parametrize(("name", "q"), FOUND.values(), ids=FOUND)
def test_a_search_finds_what_a_person_would(found, name, q):
    make_ingredient(name=name)
    assert found(name, q)


@pytest.mark.parametrize(("name", "q"), NOT_FOUND.values(), ids=NOT_FOUND)
def test_a_search_does_not_find_other_words(found, name, q):
    make_ingredient(name=name)
    assert not found(name, q)


def test_words_of_a_changed_row_are_found(client, found):
    url = f"/api/v2/ingredients/{make_ingredient(name='Sage', description='summer').pk}"
    headers = {"If-Match": "*"}
    client.patch(url, json={"name": "Thyme"}, headers=headers)
    assert found("Thyme", "thyme summer")
    assert not found("Thyme", "sage")
    client.patch(url, json={"description": None}, headers=headers)
    assert found("Thyme", "thyme")
    assert not found("Thyme", "summer")


def test_a_repeated_word_is_searched_once(client):
    query = select(Ingredient.pk).where(db.matches_words(Ingredient.search_words, "茶 " * 100))
    _statement, parameters = plans.recorded(lambda: db.session.execute(query))
    assert list(parameters.values()) == ["'茶' & '茶'"]


@settings(max_examples=200)
@given(text=st.text(min_size=1, max_size=127).filter(lambda text: "\0" not in text))
def test_every_text_finds_itself_if_it_has_words(client, text):
    vector = search_vector_of(text)
    matches = db.matches_words(cast(literal(vector), TSVECTOR), text)
    assert db.session.scalar(select(matches)) is bool(vector)


@given(st.lists(st.none() | st.text(st.characters(max_codepoint=0x7F)), max_size=2))
def test_plain_texts_have_the_words_that_any_text_would_have(texts):
    plain = search_vector_of(*texts)
    with patch.object(text_search, "is_visible_ascii", lambda _text: False):
        assert plain == search_vector_of(*texts)
