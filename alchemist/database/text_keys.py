"""Keys that Python makes of texts, so that every server compares and sorts them in one way."""

import re
from hashlib import blake2b
from unicodedata import category, combining, normalize

from .visible_text import NON_SPACE_RUN, drop_invisible_except_spaces, is_visible_ascii

# Characters. A B-tree takes at most 2,704 bytes for all columns of an index.
MAX_FOLDED_LENGTH = 600
# Bytes of UTF-8: a cursor with this key fits into 1,000 bytes.
MAX_SORT_KEY_SIZE = 600
# A control character: less than every character of the parts that it separates.
PART_SEPARATOR = "\x01"
# Marks are no part of `\w` either.
NO_WORD = re.compile(r"[^\w\s]|_")
# Letters that Unicode does not decompose into a base letter and a mark, after case folding.
BASE_LETTERS = str.maketrans("øđðħ\u0131łŋŧ", "oddhilnt") | str.maketrans(
    {"æ": "ae", "œ": "oe", "þ": "th"}
)


def fold(text: str) -> str:
    """Return the form in which two texts are equal that differ in case or in compatibility only.

    That is NFKC and full case folding, until both change nothing (Unicode Standard, D146), without
    invisible characters. Of a text that would be too long for an index it is a hash.
    """
    if is_visible_ascii(text):
        folded = text.lower()
    else:
        folded = drop_invisible_except_spaces(normalize("NFD", text)).casefold()
        folded = normalize("NFKC", normalize("NFKC", folded).casefold())
    if len(folded) <= MAX_FOLDED_LENGTH:
        return folded
    return blake2b(folded.encode()).hexdigest()


def base_letters(text: str) -> str:
    """Return the text without case, accents and invisible characters: "Génépi" is "genepi".

    Marks that are no accents stay, such as the vowels of Thai and the voicing of Japanese.
    """
    if is_visible_ascii(text):
        return text.lower()
    folded = normalize("NFKD", NON_SPACE_RUN.sub("", text)).casefold().translate(BASE_LETTERS)
    if folded.isascii():
        return folded
    # The Cyrillic short i is a letter, and no i with an accent.
    decomposed = normalize("NFKD", folded).replace("и\u0306", "й")
    letters = "".join(letter for letter in decomposed if not _is_accent(letter))
    return normalize("NFC", letters)


def _is_accent(character: str) -> bool:
    """Return whether a character is a mark above or below a letter, or a Hebrew or Arabic point."""
    combining_class = combining(character)
    return combining_class >= 200 or 10 <= combining_class <= 36


def sort_key(text: str) -> str:
    """Return the key whose code points order texts by letters, then by accents, then by case.

    Signs come before digits, digits before letters, and lower case before upper case. A long key is
    cut, so equal beginnings of long texts are a tie.
    """
    letters = base_letters(text)
    folded = letters if is_visible_ascii(text) else normalize("NFC", text.casefold())
    accents = "" if folded == letters else folded
    case = "" if text == folded else text.swapcase()
    signs_first = NO_WORD.sub(_put_before_digits, letters)
    key = PART_SEPARATOR.join((signs_first, accents, case)).rstrip(PART_SEPARATOR)
    return key.encode()[:MAX_SORT_KEY_SIZE].decode(errors="ignore")


def _put_before_digits(match: re.Match[str]) -> str:
    """Return a punctuation mark or symbol behind a sign that is less than any digit."""
    return f"!{match[0]}" if category(match[0])[0] in "PS" else match[0]
