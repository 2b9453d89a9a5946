"""The keys by which texts are compared and sorted."""

from unicodedata import normalize
from unittest.mock import patch

import pytest

from alchemist.database import text_keys
from alchemist.database.text_keys import (
    MAX_FOLDED_LENGTH,
    MAX_SORT_KEY_SIZE,
    base_letters,
    fold,
    sort_key,
)
from tests.properties import given, st

EQUAL = {
    "final sigma": ("ΧΡΟΝΟΣ", "χρονος"),
    "sharp s": ("Straße", "STRASSE"),
    "capital sharp s": ("STRAẞE", "strasse"),
    "ligature": ("ﬁre", "FIRE"),
    "full width": ("\uff33\uff21\uff27\uff25\uff11", "sage1"),
    "half-width katakana": ("ｶﾞﾗｽ", "ガラス"),
    "superscript": ("x²", "X2"),
    "decomposed": ("Cafe\u0301", "CAFÉ"),
    "invisible": ("Sa\u200bge\u2060", "sage"),
    "dotted capital i": ("\u0130", "i\u0307"),
    "Cherokee": ("\uab70", "\u13a0"),
}
DIFFERENT = {
    "accent": ("Génépi", "Genepi"),
    "dotless i": ("\u0131", "i"),
    "flags": (
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    ),
    "space": ("a b", "ab"),
}


@pytest.mark.parametrize(("one", "other"), EQUAL.values(), ids=EQUAL)
def test_texts_that_differ_in_case_or_compatibility_are_equal(one, other):
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_texts_that_look_different_are_different(one, other):
    assert fold(one) != fold(other)


@given(st.text())
def test_a_folded_text_is_equal_to_the_text_in_any_form(text):
    folded = fold(text)
    assert fold(folded) == folded
    assert fold(text.casefold()) == folded
    for form in ("NFC", "NFD"):
        assert fold(normalize(form, text)) == folded


def test_a_folded_text_fits_its_column_and_index():
    """Of the characters of a nickname, each can become 18."""
    texts = ["\ufdfa" * 255, "\ufdfa" * 254 + "a", "\U0001f36f" * 255]
    folded = [fold(text) for text in texts]
    assert len(set(folded)) == len(texts)
    assert all(len(text) <= MAX_FOLDED_LENGTH and len(text.encode()) < 2600 for text in folded)
    assert [fold(text) for text in folded] == folded


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("Génépi", "genepi"),
        ("Łódź", "lodz"),
        ("Smørrebrød", "smorrebrod"),
        ("ΧΡΌΝΟΣ", "χρονοσ"),
        ("İSTANBUL", "istanbul"),
        ("ﬁre", "fire"),
        ("ガ", "ガ"),
        ("한국", "한국"),
        ("ที่", "ที่"),
    ],
)
def test_base_letters_have_no_case_and_no_accents(text, letters):
    assert base_letters(text) == letters
    assert base_letters(normalize("NFD", text)) == letters


SORTED = [
    "",
    "'quoted'",
    "_tea",
    "~tea",
    "¿tea?",
    "“quoted”",
    "\U0001f375",
    "1 tea",
    "10 teas",
    "apple",
    "Banana",
    "eclair",
    "Eclair",
    "éclair",
    "Éclair",
    "eclairs",
    "Straße",
    "strata",
    "tea",
    "Tea",
    "TEA",
    "téa",
    "tea time",
    "teapot",
    "zebra",
    "Ωmega",
    "ели",
    "ёлка",
    "ель",
    "чаи",
    "чай",
    "чаю",
    "ชา",
    "茶",
]


def test_texts_are_sorted_by_letters_then_accents_then_case():
    assert sorted(set(SORTED), key=sort_key) == SORTED


texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=255)


@given(texts, texts)
def test_a_sort_key_fits_a_cursor_and_orders_by_letters_first(one, other):
    keys = [sort_key(one), sort_key(other)]
    assert all(len(key.encode()) <= MAX_SORT_KEY_SIZE for key in keys)
    letters = [base_letters(one), base_letters(other)]
    if not "".join(letters).isalnum():
        return
    if letters[0] != letters[1] and max(len(each.encode()) for each in letters) < MAX_SORT_KEY_SIZE:
        assert (keys[0] < keys[1]) == (f"{letters[0]}\x01" < f"{letters[1]}\x01")


@given(st.text(st.characters(max_codepoint=0x7F)))
def test_the_keys_of_plain_texts_need_no_normalising(text):
    plain = fold(text), base_letters(text), sort_key(text)
    with patch.object(text_keys, "is_visible_ascii", lambda _text: False):
        assert plain == (fold(text), base_letters(text), sort_key(text))
