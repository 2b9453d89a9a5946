"""Full-text search: the words of a row, and the condition that it contains words.

Words are normalised in Python: PostgreSQL's own parser takes `a/b` for a file and `a.b` for a host,
and its core has no `unaccent`.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from unicodedata import category

from sqlalchemy import Boolean, ColumnElement, SQLColumnExpression, type_coerce
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from .text_keys import base_letters
from .visible_text import is_visible_ascii

# The longest beginning of a word that is indexed by itself. PostgreSQL knows how frequent such a
# beginning is, and walks through the list instead of the index if most rows have it.
MAX_PREFIX = 3
# Of a longer word only the beginning counts. A lexeme has at most 2,046 bytes.
MAX_WORD = 100
ASCII_WORD = re.compile(r"[a-z0-9]+")
# Scripts without spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese; and Korean,
# which joins several words.
UNSPACED_RUN = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\U00020000-\U0003ffff]+)"
)


class SearchWords(TypeDecorator[str]):
    """A text whose words a row must contain, as the tsquery for that."""

    impl = TSQUERY
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str:
        return _prefix_tsquery(value or "")


def search_vector_of(*texts: str | None) -> str:
    """Return the tsvector of texts: their words, and the beginnings of these."""
    text = " ".join(filter(None, texts))
    if is_visible_ascii(text):
        words = (word[:MAX_WORD] for word in ASCII_WORD.findall(text.lower()))
        return " ".join(sorted(set().union(*map(_word_lexemes, words))))
    lexemes: set[str] = set()
    for word, is_run in _split_words_and_unspaced_runs(text):
        if is_run:
            pairs = (word[i : i + n] for i in range(len(word)) for n in (1, 2))
            lexemes.update(map(_quote_lexeme, pairs))
        else:
            lexemes.update(_word_lexemes(word[:MAX_WORD]))
    return " ".join(sorted(lexemes))


# Rows have many words in common.
@lru_cache(maxsize=4096)
def _word_lexemes(word: str) -> frozenset[str]:
    """Return the quoted word, and its quoted beginnings."""
    return frozenset(_quote_lexeme(word[:n]) for n in (*range(1, MAX_PREFIX + 1), MAX_WORD))


def _prefix_tsquery(text: str) -> str:
    """Return the tsquery of all words of a text, each of which may be the beginning of a word."""
    terms: list[str] = []
    for word, is_run in _split_words_and_unspaced_runs(text):
        if is_run:
            terms += [_quote_lexeme(word[i : i + 2]) for i in range(max(1, len(word) - 1))]
        elif len(word) <= MAX_PREFIX:
            terms.append(_quote_lexeme(word))
        else:
            # The word itself, too: PostgreSQL knows how frequent it is, but not always of a prefix.
            lexeme = _quote_lexeme(word[:MAX_WORD])
            terms.append(f"({lexeme} | {lexeme}:*)")
    # Each term twice: the same rows, but a lower row estimate. PostgreSQL takes a word without
    # statistics for one in 200 rows, and would scan in key order until it had found enough of them;
    # with the lower estimate it uses the GIN index.
    return " & ".join(list(dict.fromkeys(terms)) * 2)


def _quote_lexeme(word: str) -> str:
    # A word contains neither quotes nor backslashes.
    return f"'{word}'"


def _split_words_and_unspaced_runs(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the normalised words of a text, and whether each is a run without spaces."""
    letters = base_letters(text)
    if letters.isascii():
        yield from ((word, False) for word in ASCII_WORD.findall(letters))
        return
    for part in "".join(map(_letter_or_separator, letters)).split():
        for word in UNSPACED_RUN.split(part):
            if word:
                yield word, UNSPACED_RUN.match(word) is not None


def _letter_or_separator(character: str) -> str:
    """Return a letter, mark or digit as it is, an emoji as a word, and a space for all else."""
    if category(character)[0] in "LMN":
        return character
    return f" {character} " if category(character) == "So" else " "


def matches_words(column: SQLColumnExpression[Any], words: Any) -> ColumnElement[bool]:
    """Return the condition that a `searchable` column has every word of `words`, in any order.

    A word also matches the words that begin with it; case and accents do not matter.
    """
    return column.op("@@", return_type=Boolean())(type_coerce(words, SearchWords()))
