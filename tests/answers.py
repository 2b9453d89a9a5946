"""What a test reads of the problem details (RFC 9457) in an answer."""

from collections.abc import Iterable
from typing import Any


def pointers_and_codes(answer: Any) -> set[tuple[str, str]]:
    """Return (pointer, code) of each error of the answer; fail if two are equal."""
    return _unique((error["pointer"], error["code"]) for error in answer.json["errors"])


def parameters_and_codes(answer: Any) -> set[tuple[str, str]]:
    """Return (parameter, code) of each error of the answer; fail if two are equal."""
    return _unique((error["parameter"], error["code"]) for error in answer.json["errors"])


def error_pointers(answer: Any) -> set[str]:
    """Return the pointers of the answer's errors."""
    return {error["pointer"] for error in answer.json["errors"]}


def _unique(pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    listed = list(pairs)
    assert len(set(listed)) == len(listed), listed
    return set(listed)
