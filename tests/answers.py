"""Reads answers: the errors of problem details (RFC 9457), and the pages of a list (RFC 8288)."""

import re
from collections.abc import Iterable
from typing import Any

from flask.testing import FlaskClient


def pointers_and_codes(answer: Any) -> set[tuple[str, str]]:
    """Return (pointer, code) of each error of the answer; fail if two are equal."""
    return _unique((error["pointer"], error["code"]) for error in answer.json["errors"])


def parameters_and_codes(answer: Any) -> set[tuple[str, str]]:
    """Return (parameter, code) of each error of the answer; fail if two are equal."""
    return _unique((error["parameter"], error["code"]) for error in answer.json["errors"])


def error_pointers(answer: Any) -> set[str]:
    """Return the pointers of the answer's errors."""
    return {error["pointer"] for error in answer.json["errors"]}


def read_all_pages(
    client: FlaskClient, url: str | None, headers: dict[str, str] | None = None
) -> list[Any]:
    """Return the rows of a page and of all pages after it."""
    rows = []
    while url:
        answer = client.get(url, headers=headers)
        rows += answer.json
        next_link = re.search('<([^>]+)>; rel="next"', answer.headers["Link"])
        url = next_link and next_link[1]
    return rows


def _unique(pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    listed = list(pairs)
    assert len(set(listed)) == len(listed), listed
    return set(listed)
