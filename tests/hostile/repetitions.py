"""Requests that have one effect or none: repeated with their key, and dry runs."""

from collections.abc import Iterator
from itertools import count
from urllib.parse import parse_qsl, urlsplit

from tests.hostile.exchange import Answer, Request
from tests.hostile.operations import Operation
from tests.hostile.transports import Send

KEY, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
_serial = count(1)
AUDIT = Request("GET", "/api/v2/audit?limit=1&sort=-pk", why="the last entry of the audit log")
NO_BOOLEANS = ("", "1", "yes", "TRUE ", "null", "true,true", "true&dry_run=false", "\xff", "%00")


def keys(operation: Operation) -> Iterator[Request]:
    """Yield POSTs with a key that nobody has used, none if the operation takes no keys."""
    if not any(known["name"] == KEY for known in operation.parameters("header")):
        return
    for kind in ("a", "~" * 200, "'\";--", "<script>", "../..", "%00", "{}", "\\u0000", "a,b"):
        for query in ("", "?on_conflict=update", "?a=b", "?"):
            shown = operation.request()
            key = f"{kind}-{next(_serial)}"
            headers = shown.with_header(KEY, key)
            why = f"the key is {key[:40]!r}, the query is {query!r}"
            target = shown.target + query
            yield shown.but(why, headers=headers, target=target, must="not replayed")


def dry_runs(operation: Operation) -> Iterator[Request]:
    """Yield the request as a dry run, none if the operation only reads or is of version 1."""
    if not any(known["name"] == "dry_run" for known in operation.parameters("query")):
        return
    for more in ("", "&on_conflict=update", "&a=b", "&fields=pk", "&expand=store"):
        for key in ((), (f"dry-{next(_serial)}",)):
            shown = operation.request()
            headers = shown.with_header(KEY, *key)
            target = f"{shown.target}?dry_run=true{more}"
            yield shown.but(f"a dry run with {more!r} and {key}", headers=headers, target=target)
    for text in NO_BOOLEANS:
        shown = operation.request()
        target = f"{shown.target}?dry_run={text}"
        yield shown.but(f"dry_run is {text!r}", target=target, must="refused")


def is_dry_run(request: Request) -> bool:
    is_v2 = request.target.startswith("/api/v2/")
    return is_v2 and ("dry_run", "true") in parse_qsl(urlsplit(request.target).query)


def of_repetition(operation: Operation, request: Request, answer: Answer, send: Send) -> list[str]:
    """Repeat a request with a key; return where the second answer is not the first one."""
    if not _is_kept(operation, request, answer):
        return []
    second = send(request)
    found = _differences(answer, second)
    other = request.but("another query", target=_with_another_query(request.target))
    third = send(other)
    if b'"idempotency-key-reused"' not in third.body:
        found.append(f"The key serves another query, too: {third.status} {third.body[:500]!r}.")
    return found


def _is_kept(operation: Operation, request: Request, answer: Answer) -> bool:
    """Tell whether the answer must be stored under the key of the request."""
    takes_key = any(known["name"] == KEY for known in operation.parameters("header"))
    values = [value for name, value in request.headers if name == KEY]
    is_first = len(values) == 1 and REPLAYED not in answer.headers and not is_dry_run(request)
    is_final = 200 <= answer.status < 300 or answer.status == 409
    return takes_key and request.method == operation.method and is_first and is_final


def _differences(first: Answer, second: Answer) -> list[str]:
    if second.headers.get(REPLAYED) != "true":
        return [f"The repetition is not answered as the first was, but with {second.status}."]
    names = ("Content-Type", "ETag", "Location")
    told = [(each.status, each.body, *map(each.headers.get, names)) for each in (first, second)]
    return [] if told[0] == told[1] else [f"The answer is {told[0]}, its repetition {told[1]}."]


def _with_another_query(target: str) -> str:
    return f"{target}{'&' if '?' in target else '?'}another=1"


def of_dry_run(answer: Answer, before: Answer, after: Answer) -> list[str]:
    """Return where a dry run does not say that it is one, or has left an entry in the audit log."""
    found = []
    if 200 <= answer.status < 300 and answer.headers.get("Dry-Run") != "true":
        found.append("A dry run lacks Dry-Run.")
    if "Location" in answer.headers:
        found.append("A dry run has a Location.")
    if before.body != after.body:
        found.append(f"A dry run has left {after.body[:500]!r}.")
    return found
