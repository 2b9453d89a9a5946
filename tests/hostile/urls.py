"""Hostile URLs: queries and paths that break, repeat, exceed, or mean something elsewhere."""

from collections.abc import Iterator
from urllib.parse import quote

from alchemist.docs.example_values import example_value
from tests.hostile.bodies import STRINGS
from tests.hostile.exchange import Request
from tests.hostile.operations import Operation

# Not UTF-8, not escapes, or not what escapes are for.
MALFORMED = (
    *("%", "%f", "%zz", "%%", "%u0041", "%+1", "%-1", "%0x41"),
    *("%ff", "%c3%28", "%c0%af", "%e0%80%af", "%ed%a0%80", "%f4%90%80%80", "%80", "%e2%82"),
)
TEXTS = (
    *("", "%00", "a%00b", "%0d%0aX-Injected:%201", "%0a", "%09", "%20", "+", "%2B", "%2500", "%25"),
    *("%c3%a9", "e%cc%81", "%ef%bb%bf", "%e2%80%ae", "%f0%9f%a7%aa", "%5B%5D", "%7B%7D", "%22"),
    *("null", "true", "-1", "0", "1", "1.0", "1e3", "0x10", "9" * 30, "9" * 5000, "%D9%A1", "*"),
    *(
        "a" * 129,
        "a" * 5000,
        "," * 100,
        "%2C",
        "a,b",
        "a%2Cb",
        "..",
        "%2e%2e%2f",
        "[]",
        "{}",
        "a;b",
    ),
    *("00000000-0000-0000-0000-000000000000", "0" * 32, "%7B0%7D"),
)
QUERIES = (
    *("?", "??", "?&", "?&&&", "?=", "?=&=", "?;", "?a;b", "?#", "?#a", "?a#b", "?/", "?a=b=c"),
    *("?a[]=1", "?a[b]=1", "?a.b=1", "?__proto__=1", "?a=1&a=2", "?" + "&" * 5000),
    "?" + "&".join(f"a{number}=1" for number in range(101)),
    "?" + "&".join("a=1" for _ in range(1000)),
    "?" + "a" * 7000,
)
SUFFIXES = (
    *(
        "/",
        "//",
        "/.",
        "/..",
        "/./",
        "/%2e",
        "/%2e%2e",
        "/%2f",
        "%2f",
        "%2F%2F",
        "\\",
        "%5c",
        ";",
        ";a",
    ),
    *(";a=b", "%3b", "%00", "%0a", "%0d%0a", "%20", "%09", ".", ".json", ".html", "~", "*", "%25"),
    *(
        "/%00",
        "/..%2f",
        "/..;/",
        "/.git/config",
        "/%ff",
        "/%c0%ae",
        "%e2%80%8b",
        "/a" * 500,
        "@",
        ":",
        "'",
    ),
)


def queries(operation: Operation) -> Iterator[Request]:
    shown = operation.request()
    bare, _, given = shown.target.partition("?")
    for query in QUERIES:
        joined = f"{bare}{query}&{given}" if given else f"{bare}{query}"
        yield shown.but(f"the query is {query[:40]}", target=joined)
    malformed = "400" if operation.version == "v2" else ""
    for text in MALFORMED:
        for query in (f"?a={text}", f"?{text}=a"):
            yield shown.but(f"the query is {query}", target=bare + query, must=malformed)
    for known in operation.parameters("query"):
        name = known["name"]
        example = example_value(known["schema"], operation.document)
        fitting = quote(str(example if example is not None else "1"), safe="")
        for text in (*TEXTS, *MALFORMED, *(quote(text) for text in _naughty())):
            must = malformed if text in MALFORMED else ""
            yield shown.but(
                f"{name} is {text[:40]!r}", target=f"{bare}?{name}={text}"[:8000], must=must
            )
        for query in (f"{name}={fitting}&{name}={fitting}", f"{name}", f"{name}[]={fitting}"):
            yield shown.but(f"the query is {query[:60]}", target=f"{bare}?{query}")


def _naughty() -> Iterator[str]:
    for members in STRINGS.values():
        yield from members


def paths(operation: Operation) -> Iterator[Request]:
    shown = operation.request()
    for known in operation.parameters("path"):
        for text in (*TEXTS, *MALFORMED, *(quote(text, safe="") for text in _naughty())):
            target = operation.at(**{known["name"]: text})[:8000]
            malformed = "400" if operation.version == "v2" else "404"
            must = malformed if text in MALFORMED else ""
            yield shown.but(f"{known['name']} is {text[:40]!r}", target=target, must=must)
    bare, _, given = shown.target.partition("?")
    query = f"?{given}" if given else ""
    for suffix in SUFFIXES:
        target = f"{bare}{suffix}{query}"
        yield shown.but(f"the path ends in {suffix[:40]!r}", target=target)
    for target in (f"/{bare}", f"/.{bare}", f"/x/..{bare}", bare.upper(), bare.replace("/", "//")):
        yield shown.but("the path takes a detour", target=target + query)
    for slash in ("%2f", "%5c", "\\", "/./", ";/", "%00/"):
        target = bare[0] + bare[1:].replace("/", slash) + query
        yield shown.but(f"its slashes are {slash!r}", target=target)
    absolute = f"http://localhost{bare}{query}"
    yield shown.but("the target is absolute", target=absolute)
