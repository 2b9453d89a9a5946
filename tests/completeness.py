"""Compares lists that tests keep by hand with what the code declares."""

from collections.abc import Iterable
from typing import Any


def assert_complete(listed: Iterable[Any], declared: Iterable[Any], name: str, file: str) -> None:
    """Fail if a list by hand is not what the code declares; say what to add to or remove from it.

    `name` and `file` are where the list is.
    """
    missing, extra = set(declared) - set(listed), set(listed) - set(declared)
    messages = [
        f"{verb} {name} in {file}: {', '.join(sorted(map(str, items)))}"
        for verb, items in (("Add to", missing), ("Remove from", extra))
        if items
    ]
    assert not messages, "\n".join(messages)
