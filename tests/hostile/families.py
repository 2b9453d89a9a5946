"""The families of hostile input, what must hold for what they make, and samples of them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any
from unicodedata import normalize

from alchemist.database import drop_invisible_except_spaces, trim_invisible
from alchemist.docs.example_values import Json
from tests.hostile import bodies, headers, repetitions, urls
from tests.hostile.batches import CSV, NDJSON, batches, text_batches
from tests.hostile.cursors import cursors
from tests.hostile.exchange import Answer, Request, curl
from tests.hostile.invariants import violations
from tests.hostile.operations import Operation, is_free_text
from tests.hostile.selections import selections
from tests.hostile.transports import Send

FAMILIES: dict[str, Callable[[Operation], Iterator[Request]]] = {
    "texts": bodies.texts,
    "values": bodies.values,
    "strings": bodies.strings,
    "lengths": bodies.lengths,
    "media types": bodies.media_types,
    "sizes": bodies.sizes,
    "queries": urls.queries,
    "paths": urls.paths,
    "headers": headers.values,
    "tokens": headers.tokens,
    "repeated headers": headers.repeated,
    "methods": headers.methods,
    "batches": batches,
    "text batches": text_batches,
    "selections": selections,
    "idempotency keys": repetitions.keys,
    "dry runs": repetitions.dry_runs,
}


def requests(family: str, operation: Operation, send: Send) -> Iterator[Request]:
    return cursors(operation, send) if family == "cursors" else FAMILIES[family](operation)


def sample(found: Iterator[Request], most: int, chance: Random) -> list[Request]:
    """Return at most so many of the requests, in an order that only `chance` knows."""
    known = list(found)
    return chance.sample(known, min(most, len(known)))


def judged(operation: Operation, request: Request, send: Send) -> list[str]:
    """Send a request and return what is wrong with its answer, or with what is stored then."""
    is_dry_run = repetitions.is_dry_run(request)
    before = send(repetitions.AUDIT) if is_dry_run else None
    answer = send(request)
    if request.must == "accepted" and answer.status in (400, 409, 422):
        request = _without_expectation(operation, request, send)
    found = violations(request, answer)
    if before is not None:
        found += repetitions.of_dry_run(answer, before, send(repetitions.AUDIT))
    is_taken = 200 <= answer.status < 300 and request.method == operation.method
    if is_taken and operation.schema is not None and not _is_text(request):
        found += _stored(operation, request, answer, send)
    found += repetitions.of_repetition(operation, request, answer, send)
    return [f"{operation.name}: {request.why}: {what}\n  {curl(request)}" for what in found]


def _without_expectation(operation: Operation, request: Request, send: Send) -> Request:
    """Return the request without `must` if the one that the document shows is refused as well.

    What other requests have done, such as to sell all of a product, is no fault of this one.
    """
    is_shown_accepted = send(operation.request()).status < 300
    return request if is_shown_accepted else replace(request, must="")


def _is_text(request: Request) -> bool:
    return any(value in (CSV, NDJSON) for name, value in request.headers if name == "Content-Type")


def _stored(operation: Operation, request: Request, answer: Answer, send: Send) -> list[str]:
    """Return where what was taken is not what was sent, trimmed and in NFC, or not what is kept."""
    sent = json.loads(request.body)
    told = answer.json if answer.body else {}
    if isinstance(sent, list) and isinstance(told, list):
        return _stored_entries(operation, sent, told)
    if not isinstance(sent, dict) or not isinstance(told, dict):
        return []
    found = _changed(operation.schema, operation, sent, told)
    kept = None if "Dry-Run" in answer.headers else _kept(operation, answer, send)
    # What is told once, such as a secret, is not told again.
    if kept is not None and any(kept[name] != told[name] for name in kept.keys() & told.keys()):
        found.append(f"It is answered as {told}, and kept as {kept}.")
    return found


def _stored_entries(operation: Operation, sent: list[Any], told: list[Any]) -> list[str]:
    if len(sent) != len(told):
        return [f"{len(sent)} entries are answered as {len(told)} rows."]
    schema = operation.part((operation.schema or {})["items"])
    pairs = zip(sent, told, strict=True)
    return [what for pair in pairs for what in _changed(schema, operation, *pair)]


def _changed(
    schema: Json | None, operation: Operation, sent: dict[str, Any], told: dict[str, Any]
) -> list[str]:
    """Return which members are not told as they were sent."""
    return [
        f"{name} was sent as {value!r} and is answered as {told[name]!r}."
        for name, value in sent.items()
        if name in told and not _same(schema or {}, operation, name, value, told[name])
    ]


def _same(schema: Json, operation: Operation, name: str, sent: Any, told: Any) -> bool:
    schema = operation.part(schema.get("properties", {}).get(name, {}))
    if not isinstance(sent, str) or not is_free_text(schema):
        return True
    visible = drop_invisible_except_spaces(sent) if name in ("code", "coupon_code") else sent
    stored = trim_invisible(normalize("NFC", visible))
    # An order has the code as its coupon has it, in whatever case it was sent.
    return _folded(stored) == _folded(told) if name == "coupon_code" else bool(stored == told)


def _folded(text: str | None) -> str:
    return normalize("NFKC", text or "").casefold()


def _kept(operation: Operation, answer: Answer, send: Send) -> dict[str, Any] | None:
    """Return the row as GET tells it, None if nothing says where it is."""
    paths = operation.document["paths"]
    if location := answer.headers.get("Location"):
        target = location
    elif "get" in paths[operation.path] and operation.method == "PATCH":
        target = operation.at()
    else:
        return None
    found: dict[str, Any] = send(Request("GET", target, why="what is kept")).json
    return found
