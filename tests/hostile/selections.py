"""Hostile selections: rows by key, members, referred rows, places in the feed, and formats."""

from collections.abc import Iterator
from itertools import combinations
from urllib.parse import quote

from tests.hostile.exchange import Request
from tests.hostile.operations import Operation

NOBODY = "00000000-0000-7000-8000-0000000000{:02x}"
# What is no member of any list of members.
NO_NAMES = (
    *("", ",", ",,", "*", "pk,", ",pk", "pk,pk", "PK", " pk", "pk ", "pk.", ".pk", "pk.pk", "."),
    *(
        "__class__",
        "_schema",
        "version",
        "secret",
        "digest",
        "email_folded",
        "password",
        "\u202epk",
    ),
    *("pk;", "pk'", 'pk"', "pk)--", "pk\x00", "a" * 5000, "a." * 3000, "[]", "{}", "pk%2Cname"),
)
NO_KEYS = (
    *("", ",", "a", "0", "null", "None", "-1", "0" * 31, "0" * 33, "g" * 32, "\u0661" * 32),
    *(
        "urn:uuid:{0}",
        "{{{0}}}",
        "{0},",
        ",{0}",
        "{0},a",
        "{0};{0}",
        "{0}\x00",
        "{0}'--",
        "{0},{0}",
    ),
)
NO_PLACES = (
    *("", " ", "a", "start,", "START", "-1", "1-", "-1-1", "1-0", "1-0-a", "a-b-c"),
    *("1-1-1-1", "9" * 60, "9" * 20 + "-0", "1e3-0", "0x1-0", "+1-0", "1_0-0", "\u0661-0", "null"),
)
FORMATS = ("text/csv", "application/x-ndjson")
ACCEPTS = (
    *("text/csv", "application/x-ndjson", "text/*", "application/*", "text/csv;q=0.1, */*;q=0"),
    *("text/csv, application/json;q=0.1", "text/csv;header=absent", "text/csv;charset=utf-16"),
    *("application/json;q=0, text/csv;q=0", "text/csv;q=nan", "text/csv," * 500, "TEXT/CSV"),
)
LIMITS = ("1", "2", "200", "201", "1000", "1001", "10000", "10001", "0", "-1", "1e2", "01", "1.0")


def selections(operation: Operation) -> Iterator[Request]:
    """Yield the GET with choices of rows, members and formats that are none, or too many."""
    if operation.method != "GET":
        return
    parameters = {known["name"]: known["schema"] for known in operation.parameters("query")}
    names = parameters.keys()
    if parameters.get("pk", {}).get("type") == "array":
        yield from _by_key(operation)
    for name in sorted(names & {"fields", "expand"}):
        yield from _members(operation, name)
    if "after" in names:
        yield from _places(operation)
    if "limit" in names:
        yield from _formats(operation)


def _asked(operation: Operation, query: str, must: str = "", accept: str = "") -> Request:
    shown = operation.request()
    headers = shown.with_header("Accept", accept) if accept else shown.headers
    why = f"the query is {query[:60]}{accept and f', accepted is {accept[:40]}'}"
    target = f"{operation.at()}?{query}"[:8000]
    return shown.but(why, target=target, headers=headers, must=must)


def _by_key(operation: Operation) -> Iterator[Request]:
    for text in NO_KEYS:
        value = quote(text.format(NOBODY.format(1)), safe="")
        yield _asked(operation, f"pk={value}", "422")
    for count, must in ((1, "200"), (100, "200"), (101, "422"), (200, "422")):
        keys = [NOBODY.format(number) for number in range(count)]
        yield _asked(operation, f"pk={','.join(keys)}", must)
        yield _asked(operation, f"pk={','.join(keys).upper()}&limit=200&count=exact")
        repeated = "&".join(f"pk={key}" for key in keys[:100])
        yield _asked(operation, repeated, "200" if count <= 100 else "")
        yield _asked(operation, f"pk={','.join(keys)}", accept="text/csv")


def _members(operation: Operation, name: str) -> Iterator[Request]:
    known, expanded_names = _names_of(operation, name), _names_of(operation, "expand")
    # Members of other rows are there only if these are expanded.
    others = tuple(f"{expanded}." for expanded in expanded_names)
    own = [each for each in known if not f"{each}.".startswith(others)]
    for text in NO_NAMES:
        if text not in known:
            yield _asked(operation, f"{name}={quote(text, safe='')}", "422")
    for each in known:
        yield _asked(operation, f"{name}={each}", "200" if name == "expand" or each in own else "")
        yield _asked(operation, f"{name}={each}&{name}={each}", "422")
        yield _asked(operation, f"{name}={each},{each}x", "422")
        yield _asked(operation, f"{name}={each}", accept="text/csv")
    for pair in combinations(known, 2):
        yield _asked(operation, f"{name}={','.join(pair)}")
    yield _asked(operation, f"{name}={','.join(known)}")
    yield _asked(operation, f"{name}={','.join(reversed(known))}&limit=200")
    if name == "fields":
        for expanded in expanded_names:
            yield _asked(operation, f"expand={expanded}&fields={','.join(known)}")
            yield _asked(operation, f"expand={expanded}&fields={expanded}", "200")


def _names_of(operation: Operation, name: str) -> list[str]:
    """Return the values that a parameter may have, none if there is no such parameter."""
    for known in operation.parameters("query"):
        if known["name"] == name:
            names: list[str] = operation.part(known["schema"]["items"])["enum"]
            return names
    return []


def _places(operation: Operation) -> Iterator[Request]:
    for text in NO_PLACES:
        yield _asked(operation, f"after={quote(text, safe='')}", "refused")
    for query in ("after=start", "after=start&limit=1000", "after=start&limit=1", "limit=1"):
        yield _asked(operation, query, "200")


def _formats(operation: Operation) -> Iterator[Request]:
    has_formats = any(known["name"] == "sort" for known in operation.parameters("query"))
    for accept in ACCEPTS if has_formats else ():
        for limit in LIMITS:
            yield _asked(operation, f"limit={limit}", accept=accept)
    for accept in FORMATS if has_formats else ():
        for limit, must in (("10000", "200"), ("10001", "422"), ("0", "422")):
            yield _asked(operation, f"limit={limit}", must, accept)
    for limit in LIMITS:
        yield _asked(operation, f"limit={limit}&count=exact" if has_formats else f"limit={limit}")
