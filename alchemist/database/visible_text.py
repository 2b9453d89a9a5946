"""Characters that cannot be seen, and texts without them.

Invisible are white space, control characters, Default_Ignorable_Code_Point (Unicode Character
Database, DerivedCoreProperties), and the signs that Unicode defines as blank, filler or format. The
ranges are listed here, because each Python has another version of Unicode.
"""

import re
from unicodedata import bidirectional, category, combining

CONTROLS = r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
DEFAULT_IGNORABLE = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"
)
# Braille, Egyptian, Khitan and musical blanks; the marks of interlinear and Egyptian text.
BLANKS_AND_FORMATS = r"\u2800\ufff9-\ufffb\U00013430-\U0001343f\U00013441\U00013442"
BLANKS_AND_FORMATS += r"\U00016fe4\U0001d159"
INVISIBLE_NON_SPACE = CONTROLS + DEFAULT_IGNORABLE + BLANKS_AND_FORMATS

INVISIBLE = re.compile(rf"[\s{INVISIBLE_NON_SPACE}]")
NON_SPACE_RUN = re.compile(rf"[{INVISIBLE_NON_SPACE}]+")
VARIATION_SELECTOR = re.compile(r"[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# The letters of a flag, such as that of England (UTS #51, emoji tag sequence).
TAG_SEQUENCE = re.compile(r"[\U000e0020-\U000e007e]{1,30}\U000e007f")
ZWNJ, ZWJ = "\u200c", "\u200d"
VIRAMA_CLASS = 9


def is_visible_ascii(text: str) -> bool:
    """Return whether a text has only visible ASCII characters and blanks.

    Such a text is normalised, and without case in lower case. Most texts are plain.
    """
    return text.isascii() and text.isprintable()


def trim_invisible(text: str) -> str:
    """Return the text without the invisible characters at both ends.

    What changes the look of the last visible character stays: it is a part of that.
    """
    if is_visible_ascii(text):
        return text.strip()
    start, end = 0, len(text)
    while start < end and INVISIBLE.match(text[start]):
        start += 1
    while start < end and INVISIBLE.match(text[end - 1]):
        end -= 1
    return text[start:end] + _grapheme_extension(text, end, len(text)) if end else ""


def drop_invisible_except_spaces(text: str) -> str:
    """Return the text without its invisible characters, except for white space.

    What changes the look of a visible character stays.
    """
    return NON_SPACE_RUN.sub(lambda run: _grapheme_extension(text, *run.span()), text)


def _grapheme_extension(text: str, start: int, end: int) -> str:
    """Return the beginning of a run of invisible characters that belongs to the one before it.

    That is a variation selector, the tags of a flag, and a joiner.
    """
    before, position = text[start - 1 : start], start
    if not before.strip():
        return ""
    if VARIATION_SELECTOR.match(text, position, end):
        position += 1
    if _is_symbol(before) and (tags := TAG_SEQUENCE.match(text, position, end)):
        position = tags.end()
    if _is_visible_joiner(before, text[position:end][:1], text[position + 1 : position + 2]):
        position += 1
    return text[start:position]


def _is_visible_joiner(before: str, joiner: str, after: str) -> bool:
    """Return whether a joiner changes the look of its neighbours (RFC 5892 A.1 and A.2)."""
    if joiner not in (ZWNJ, ZWJ):
        return False
    if _is_arabic(before):
        return joiner == ZWJ or _is_arabic(after)
    is_emoji = joiner == ZWJ and _is_symbol(before) and _is_symbol(after)
    return is_emoji or combining(before) == VIRAMA_CLASS


def _is_symbol(character: str) -> bool:
    """Return whether a character may be a part of an emoji; a keycap is an enclosing mark."""
    is_symbol = category(character or "a") in ("So", "Sk", "Me")
    return is_symbol and not INVISIBLE.match(character)


def _is_arabic(character: str) -> bool:
    return bidirectional(character or "a") == "AL"
