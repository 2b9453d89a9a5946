"""Which characters can be seen, and what trimming leaves."""

from unicodedata import category, name
from unittest.mock import patch

import pytest

from alchemist.database import visible_text
from alchemist.database.visible_text import INVISIBLE, drop_invisible_except_spaces, trim_invisible
from tests.properties import example, given, st

# Each ends with, or contains, an invisible character that changes its look.
WHOLE = {
    "flag of England": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "red heart": "\u2764\ufe0f",
    "keycap": "1\ufe0f\u20e3",
    "family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "rainbow flag": "\U0001f3f3\ufe0f\u200d\U0001f308",
    "bearded man": "\U0001f9d4\U0001f3fd\u200d\u2642\ufe0f",
    "Devanagari half form": "\u0915\u094d\u200d",
    "Devanagari explicit virama": "\u0915\u094d\u200c",
    "Arabic initial form": "\u0647\u200d",
    "ideographic variant": "\u845b\U000e0100",
    "Mongolian variant": "\u1820\u180b",
}
BLANKS = (
    "\t \x1b\x7f\x85\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u180e\u2002\u200b\u200c\u200d"
    "\u200e\u2028\u202e\u2060\u2065\u2066\u2800\u3000\u3164\ufe0f\ufeff\uffa0\ufff3\ufff9\U00013430"
    "\U00013441\U00016fe4\U0001bca0\U0001d159\U0001d173\U000e0001\U000e0041\U000e0100\U000e0fff"
)
VISIBLE = "a\u0301\u0600\u06dd\u0e31\u2422\u303f\ue000\ufffc\ufffd"
invisible = st.text(st.sampled_from(BLANKS), max_size=5)


@pytest.mark.parametrize("character", BLANKS, ids=ascii)
def test_a_text_of_invisible_characters_is_empty(character):
    assert trim_invisible(character * 2) == ""
    assert trim_invisible(f"\u200b{character} {character}") == ""


@pytest.mark.parametrize("character", VISIBLE, ids=ascii)
def test_what_has_ink_is_visible(character):
    assert trim_invisible(f"\u200b{character}\u200b") == character


def test_every_format_and_space_character_is_invisible_but_for_the_arabic_signs():
    """These are drawn under the digits that follow (Prepended_Concatenation_Mark)."""
    kinds = ("Cc", "Cf", "Zs", "Zl", "Zp")
    characters = [chr(n) for n in range(0x110000) if category(chr(n)) in kinds]
    visible = [character for character in characters if not INVISIBLE.match(character)]
    assert {name(each).split()[0] for each in visible} == {"ARABIC", "SYRIAC", "KAITHI"}
    assert len(visible) == 13


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_a_visible_character_keeps_what_changes_its_look(text):
    assert trim_invisible(f"\u200b {text}\u2060 \u200b") == text
    assert drop_invisible_except_spaces(text) == text
    assert drop_invisible_except_spaces(f"\u2060{text}\u2060{text}") == text * 2


@pytest.mark.parametrize(
    "text",
    [
        "a\u200d",
        "a\u200c",
        "\U0001f469\u200d",
        "a\ufe0f\ufe0f",
        "a\U000e0067\U000e007f",
        "\U0001f3f4\U000e0067",
        "\u0645\u06cc\u200c",
    ],
    ids=ascii,
)
def test_what_changes_no_look_is_trimmed_and_dropped(text):
    assert len(trim_invisible(text)) < len(text)
    assert drop_invisible_except_spaces(text) == trim_invisible(text)


def test_white_space_inside_is_not_dropped():
    assert drop_invisible_except_spaces("a b\u200b\tc\u3000d") == "a b\tc\u3000d"


@given(invisible, st.text(), invisible)
def test_any_text_keeps_its_visible_characters(before, text, after):
    trimmed = trim_invisible(before + text + after)
    assert trimmed in before + text + after
    assert INVISIBLE.sub("", trimmed) == INVISIBLE.sub("", text)
    assert trim_invisible(trimmed) == trimmed
    assert not trimmed or not INVISIBLE.match(trimmed)


@example("\u20e3\u200d\u2800")  # A keycap, a joiner, and a blank that is a symbol.
@given(st.text(st.sampled_from(BLANKS + VISIBLE + "".join(WHOLE.values()))))
def test_dropping_twice_is_dropping_once(text):
    dropped = drop_invisible_except_spaces(text)
    assert drop_invisible_except_spaces(dropped) == dropped
    assert INVISIBLE.sub("", dropped) == INVISIBLE.sub("", text)


@given(st.text(st.characters(max_codepoint=0x7F)))
def test_plain_texts_are_trimmed_as_others_are(text):
    trimmed = trim_invisible(text)
    with patch.object(visible_text, "is_visible_ascii", lambda _text: False):
        assert trimmed == trim_invisible(text)
