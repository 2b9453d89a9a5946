"""Hostile cursors: altered bit by bit, cut, forged, and those of other lists."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from hashlib import blake2b
from urllib.parse import parse_qs, quote, urlsplit

from .exchange import Answer, Request
from .operations import Operation

NEXT = re.compile(r'<([^>]*)>; rel="next"')
FORGED = (
    "",
    "\0",
    "a",
    "NaN",
    "1e999999",
    "9" * 5000,
    "infinity",
    "0001-01-01T00:00:00+23:59",
    "\ud800",
)
KEYS = (
    "[]",
    "{}",
    "null",
    '[""]',
    "[1, 2]",
    '["a", null]',
    '["a", {}]',
    "[" * 50_000,
    '"a"',
    "NaN",
)
UNFITTING = "unfitting-cursor"


def cursors(operation: Operation, ask: Callable[[Request], Answer]) -> Iterator[Request]:
    """Yield pages with cursors that are not those of the list, none if it has no cursors."""
    named = {known["name"]: known for known in operation.parameters("query")}
    if "cursor" not in named:
        return
    orders = [f"{sign}{name}" for name in _sort_keys(named["sort"]) for sign in ("", "-")]
    for order in orders:
        url = f"{operation.at()}?limit=1&sort={order}"
        links = ask(operation.request().but("the first page", target=url)).headers.get("Link", "")
        if found := NEXT.search(links):
            cursor = parse_qs(urlsplit(found[1]).query)["cursor"][0]
            others = [other for other in orders if other != order]
            yield from _altered(operation, order, cursor, others)
            for value in _forged(operation, order, cursor):
                yield _page(operation, order, value, "forged", "")
    for value in (
        *(urlsafe_b64encode(key.encode()).decode() for key in KEYS),
        "",
        "=",
        "a",
        "\xff",
    ):
        yield _page(operation, "pk", value, f"{value[:20]!r}", UNFITTING)


def _sort_keys(parameter: dict[str, object]) -> list[str]:
    """Return the names that a list can be sorted by, as the pattern of the parameter lists them."""
    found = re.search(r"\(((?:\w+\|)*\w+)\)\(,", str(parameter["schema"]))
    assert found is not None, parameter
    return found[1].split("|")


def _altered(operation: Operation, order: str, cursor: str, others: list[str]) -> Iterator[Request]:
    for index in range(len(cursor)):
        for bit in (1, 2, 4, 8, 16, 32, 64):
            changed = chr(ord(cursor[index]) ^ bit)
            value = cursor[:index] + changed + cursor[index + 1 :]
            yield _page(operation, order, value, f"bit {bit} of {index} flipped", UNFITTING)
    for value in (cursor[:-1], cursor[1:], cursor + "=", cursor + "A", cursor * 2, cursor + "\n"):
        yield _page(operation, order, value, "cut or longer", UNFITTING)
    for other in others:
        yield _page(operation, other, cursor, f"that of the sort {order}", UNFITTING)


def _forged(operation: Operation, order: str, cursor: str) -> Iterator[str]:
    """Yield cursors whose fingerprint fits values that no row has."""
    _, *values = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    keys = [(order.removeprefix("-"), order.startswith("-"))]
    if keys[0][0] != "pk":
        keys.append(("pk", keys[0][1]))
    shown = ", ".join(f"Key(name={name!r}, descending={down})" for name, down in keys)
    for index in range(len(values)):
        for value in FORGED:
            told = [*values[:index], value, *values[index + 1 :]]
            seal = f"('{operation.at()} []', ({shown}{',' if len(keys) == 1 else ''}), {told!r})"
            mark = blake2b(seal.encode("utf-8", "replace"), digest_size=9).hexdigest()
            content = json.dumps([mark, *told], separators=(",", ":"))
            yield urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _page(operation: Operation, order: str, cursor: str, why: str, must: str) -> Request:
    target = f"{operation.at()}?sort={order}&cursor={quote(cursor, safe='')}"
    why = f"the cursor of {order} is {why}"
    return operation.request().but(why, target=target[:8000], must=must)
