"""Hostile cursors: altered bit by bit, cut, forged, and those of other lists."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from hashlib import blake2b
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from uuid import UUID

from alchemist.docs.example_values import example_value
from tests.hostile.exchange import Answer, Request
from tests.hostile.operations import Operation, operations

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
UNFITTING = "invalid-cursor"
# Parameters that are no filters: a cursor fits whatever they are.
NO_FILTERS = {"limit", "cursor", "sort", "count", "fields", "expand"}
NONE = ("", "=", "a", "\xff", "....", "a" * 7000)
NOBODY = "00000000-0000-0000-0000-000000000000"


def cursors(operation: Operation, ask: Callable[[Request], Answer]) -> Iterator[Request]:
    """Yield pages with cursors that are not those of the list, none if it has no cursors."""
    orders = _orders(operation)
    for order in orders:
        url = f"{operation.at()}?limit=1&sort={order}"
        links = ask(operation.request().but("the first page", target=url)).headers.get("Link", "")
        if found := NEXT.search(links):
            cursor = parse_qs(urlsplit(found[1]).query)["cursor"][0]
            others = [other for other in orders if other != order]
            yield from _altered(operation, order, cursor, others)
            yield from _elsewhere(operation, order, cursor)
        for value in _forged(operation, order):
            yield _page(operation, order, value, "forged", "")
    for value in (*NONE, *(urlsafe_b64encode(key.encode()).decode() for key in KEYS)):
        if orders:
            yield _page(operation, "pk", value, f"{value[:20]!r}", UNFITTING)


def _orders(operation: Operation) -> list[str]:
    """Return the documented sort keys of a list; none if it has no pages."""
    for parameter in operation.parameters("query"):
        if parameter["name"] == "sort":
            keys: list[str] = operation.part(parameter["schema"]["items"])["enum"]
            return keys
    return []


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


def _elsewhere(operation: Operation, order: str, cursor: str) -> Iterator[Request]:
    """Yield the cursor with filters that its page had not, and in other lists."""
    shown = operation.request()
    for known in operation.parameters("query"):
        if known["name"] not in NO_FILTERS:
            example = example_value(known["schema"], operation.document)
            items = example if isinstance(example, list) else [example]
            # Only lists of keys have no example.
            texts = [str(UUID(int=0) if item is None else item) for item in items]
            value = ",".join(texts) if example not in (True, False) else texts[0].lower()
            query = urlencode({"sort": order, known["name"]: value, "cursor": cursor})
            target, why = f"{operation.at()}?{query}", f"the cursor of no {known['name']}"
            yield shown.but(why, target=target, must=UNFITTING)
    for other in operations(operation.version, operation.document):
        if other.path != operation.path and _orders(other):
            target = f"{other.at()}?{urlencode({'cursor': cursor})}"
            why = f"the cursor is that of {operation.name}"
            yield other.request().but(why, target=target, must=UNFITTING)


def _forged(operation: Operation, order: str) -> Iterator[str]:
    """Yield cursors whose fingerprint fits values that no row has."""
    name, descends = order.removeprefix("-"), order.startswith("-")
    names = ["pk"] if name == "pk" else [name, "pk"]
    keys = [f"SortKey(name={known!r}, descending={descends})" for known in names]
    sort = f"({', '.join(keys)}{',' * (len(keys) == 1)})"
    for value in FORGED:
        told = [value, *(NOBODY for _ in names[1:])]
        sealed = f"('{operation.at()} []', {sort}, {told!r})"
        mark = blake2b(sealed.encode("utf-8", "replace"), digest_size=9).hexdigest()
        content = "\0".join([mark, *told])
        yield urlsafe_b64encode(content.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def _page(operation: Operation, order: str, cursor: str, why: str, must: str) -> Request:
    target = f"{operation.at()}?sort={order}&cursor={quote(cursor, safe='')}"
    why = f"the cursor of {order} is {why}"
    return operation.request().but(why, target=target[:8000], must=must)
