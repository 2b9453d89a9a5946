"""Hostile bodies: texts that are no JSON, values that are no fields, and more than fits."""

import copy
import json
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any
from unicodedata import normalize

from alchemist.docs.example_values import Json
from tests.hostile import json_texts
from tests.hostile.exchange import Request
from tests.hostile.operations import Operation, is_free_text, types

MIB = 1024 * 1024
STRINGS: dict[str, list[str]] = json.loads(
    resources.files(__package__).joinpath("strings.json").read_text("utf-8")
)
BLANK = "".join(STRINGS["blank"])
# One value of each type that JSON has, and those at which numbers turn into others.
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", " ", "a", "0", "true", "null", [], {}, [[]], [None], [{}], {"": 0}),
    *(0, 1, -1, 1.0, 0.5, -0.0, 1e300, 1e-300, 100, 101, 2**31 - 1, 2**31, 2**63 - 1, 2**63),
    *(2**64, -(2**63), -(2**63) - 1, 10**100, [0] * 101, ["a", "a"], {"pk": None}, [True, "a"]),
)
Step = str | int
MEDIA_TYPES = {
    "": "unsupported-media-type",
    "text/plain": "unsupported-media-type",
    "application/xml": "unsupported-media-type",
    "application/x-www-form-urlencoded": "unsupported-media-type",
    "multipart/form-data; boundary=a": "unsupported-media-type",
    "multipart/form-data": "unsupported-media-type",
    "application/jsonp": "unsupported-media-type",
    "application/json/x": "unsupported-media-type",
    "application/*": "unsupported-media-type",
    "*/*": "unsupported-media-type",
    "json": "unsupported-media-type",
    "application/problem+json": "unsupported-media-type",
    "application/json-patch+json": "unsupported-media-type",
    "application/json; charset=utf-16": "unsupported-media-type",
    "application/json; charset=utf-7": "unsupported-media-type",
    "application/json; charset=latin-1": "unsupported-media-type",
    "application/json; charset=rot13": "unsupported-media-type",
    "application/json; charset=\xff": "unsupported-media-type",
    "application/json; charset=utf-8; charset=utf-16": "unsupported-media-type",
    "application/json; charset*=utf-16''utf-16": "unsupported-media-type",
    "application/json; charset=": "unsupported-media-type",
    "application/json; charset": "unsupported-media-type",
    'application/json; charset="utf-8': "unsupported-media-type",
    "application/json, text/plain": "unsupported-media-type",
    "application/json\xa0": "unsupported-media-type",
    "application/json; " + "a=b; " * 1000: "",
    "application/json; a*0=b; a*1=c": "",
    "application/json; a*=utf-8''%ff": "",
    "application/json; a*=nowhere''a": "",
    "application/json;": "not unsupported-media-type",
    "application/json ; charset=UTF-8": "not unsupported-media-type",
    'APPLICATION/JSON;charset="utf-8"': "not unsupported-media-type",
    "application/json; version=1": "not unsupported-media-type",
    "application/json;;;": "",
}
# JSON to version 1, which the v1 services did not mind.
JSON_IN_VERSION_1 = {"", "application/problem+json", "application/json-patch+json"}
CODINGS = (
    "gzip",
    "deflate",
    "br",
    "zstd",
    "compress",
    "x-gzip",
    "identity, gzip",
    "\xff",
    "aes128",
)


def texts(operation: Operation) -> Iterator[Request]:
    """Yield bodies that are no JSON, or are JSON that only looks as if it were none."""
    if operation.schema is None:
        return
    shown = operation.request()
    for name, text in json_texts.REFUSED.items():
        is_read = operation.version == "v1" and name in json_texts.READ_BY_VERSION_1
        yield shown.but(f"the body is {name}", body=text, must="" if is_read else "400")
    for name, text in json_texts.READ.items():
        yield shown.but(f"the body is {name}", body=text, must="not malformed")
    for name, text in json_texts.EITHER.items():
        yield shown.but(f"the body is {name}", body=text)
    whole = shown.body
    for end in (1, 2, len(whole) // 2, len(whole) - 1):
        yield shown.but(f"the body is cut after {end} bytes", body=whole[:end], must="400")


def values(operation: Operation) -> Iterator[Request]:
    """Yield bodies of which one value, wherever it stands, is another."""
    if operation.schema is None:
        return
    is_valid = operation.validator().is_valid
    for path in _paths(operation.sample()):
        for value in VALUES:
            body = _with(operation.sample(), path, value)
            yield _judged(operation, body, is_valid, f"{_name(path)} is {_short(value)}")
        without = _without(operation.sample(), path)
        yield _judged(operation, without, is_valid, f"{_name(path)} is absent")
    for value in VALUES:
        yield _judged(operation, value, is_valid, f"the body is {_short(value)}")
    for name in ("", "a/b~c", "__class__", "_schema", "pk", "version", "\U0001f9ea", "k" * 5000):
        body, extra = operation.sample(), {name: {"deep": [0]}}
        body = [*body[:-1], body[-1] | extra] if isinstance(body, list) else body | extra
        yield operation.request(body).but(f"there is a field {name[:20]!r}")


def strings(operation: Operation) -> Iterator[Request]:
    """Yield bodies whose text is naughty; what is taken must be stored as it was sent."""
    for path, _schema in _fields(operation):
        for kind, members in STRINGS.items():
            for text in members:
                body = _with(operation.sample(), path, text)
                why = f"{_name(path)} is {kind}: {text[:40]!r}"
                yield operation.request(body).but(why)


def lengths(operation: Operation) -> Iterator[Request]:
    """Yield bodies with text and lists at their bounds, and just beyond."""
    for path, schema in _fields(operation):
        most = schema.get("maxLength")
        if most is None or not is_free_text(schema):
            continue
        for why, text, must in _around(most):
            body = _with(operation.sample(), path, text)
            named = f"{_name(path)} is {why}"
            yield operation.request(body).but(named, must=must)
        if schema.get("minLength"):
            for blank in (*STRINGS["blank"], BLANK):
                body = _with(operation.sample(), path, blank)
                named = f"{_name(path)} is blank: {blank!r}"
                yield operation.request(body).but(named, must="422")
    yield from _long_lists(operation)


def _around(most: int) -> Iterator[tuple[str, str, str]]:
    for character in ("a", "\u00e9", "\u20ac", "\U0001f9ea", "\U0010ffff"):
        yield f"{most} times {character!r}", character * most, "not too-long"
        yield f"{most + 1} times {character!r}", character * (most + 1), "too-long"
    # These shrink or grow when they are normalized: it is what is stored that counts.
    yield f"{most} letters with accents apart", "e\u0301" * most, "not too-long"
    yield f"{most + 1} letters with accents apart", "e\u0301" * (most + 1), "too-long"
    yield "letters that become two, too many", "\u0958" * (most // 2 + 1), "too-long"
    yield "letters that become two", "\u0958" * (most // 2), "not too-long"
    yield "the most, in white space", f"\u3000{'a' * most}\n\t ", "not too-long"
    yield "far too long", "a" * 500_000, "too-long"


def _long_lists(operation: Operation) -> Iterator[Request]:
    for path in _paths(operation.sample()):
        found = _at(operation.sample(), path)
        if isinstance(found, list) and found:
            for length in (101, 1_000, 100_000):
                body = _with(operation.sample(), path, (found * length)[:length])
                why = f"{_name(path)} has {length} members"
                must = "refused" if operation.version == "v2" or length > 30_000 else ""
                yield operation.request(body).but(why, must=must)


def media_types(operation: Operation) -> Iterator[Request]:
    if operation.schema is None:
        return
    is_v1 = operation.version == "v1"
    refused = "unsupported-media-type"
    for value, must in MEDIA_TYPES.items():
        expected = "accepted" if is_v1 and value in JSON_IN_VERSION_1 else must
        yield _with_type(operation, f"Content-Type is {value[:60]!r}", (value,), expected)
    yield _with_type(operation, "Content-Type is absent", (), "accepted" if is_v1 else refused)
    for coding in CODINGS:
        shown = operation.request()
        headers = shown.with_header("Content-Encoding", coding)
        yield shown.but(f"Content-Encoding is {coding!r}", headers=headers, must=refused)


def _with_type(operation: Operation, why: str, types: tuple[str, ...], must: str) -> Request:
    shown = operation.request()
    return shown.but(why, headers=shown.with_header("Content-Type", *types), must=must)


def sizes(operation: Operation) -> Iterator[Request]:
    shown = operation.request()
    body = shown.body or b"{}"
    for size, must in ((MIB - 1, "not 413"), (MIB, "not 413"), (MIB + 1, "413"), (2 * MIB, "413")):
        expected = must if operation.schema is not None else ""
        padded = body[:-1] + b" " * (size - len(body)) + body[-1:]
        yield shown.but(f"the body has {size} bytes", body=padded, must=expected)
    if operation.schema is None:
        for text in (b"{}", b"\x00", b"{", b"a" * 70_000):
            yield shown.but(f"there is a body of {len(text)} bytes", body=text)


def _judged(operation: Operation, body: Any, is_valid: Callable[[Any], bool], why: str) -> Request:
    """Return the request; what the document calls invalid must be refused.

    White space at the edges does not count, so it is taken away before the document is asked.
    """
    must = "" if is_valid(_clean(body)) else "refused"
    return operation.request(body).but(why, must=must)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return normalize("NFC", value).strip()
    if isinstance(value, list):
        return [_clean(member) for member in value]
    if isinstance(value, dict):
        return {name: _clean(member) for name, member in value.items()}
    return value


def _fields(operation: Operation) -> Iterator[tuple[tuple[Step, ...], Json]]:
    """Yield the places of all text in the body, with their schemas."""
    if operation.schema is not None:
        yield from _texts(operation, operation.schema, operation.sample(), ())


def _texts(
    operation: Operation, schema: Json, value: Any, path: tuple[Step, ...]
) -> Iterator[tuple[tuple[Step, ...], Json]]:
    found = operation.part(schema)
    if "oneOf" in found:
        kind = "string" if isinstance(value, str) else "object"
        forms = [operation.part(form) for form in found["oneOf"]]
        found = next((form for form in forms if kind in types(form)), forms[0])
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _texts(operation, found["properties"][name], member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _texts(operation, found["items"], member, (*path, index))
    elif isinstance(value, str):
        yield path, found


def _paths(value: Any, path: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    members = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for step, member in members:
        yield (*path, step)
        yield from _paths(member, (*path, step))


def _at(value: Any, path: tuple[Step, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _with(value: Any, path: tuple[Step, ...], new: Any) -> Any:
    changed = copy.deepcopy(value)
    _at(changed, path[:-1])[path[-1]] = new
    return changed


def _without(value: Any, path: tuple[Step, ...]) -> Any:
    changed = copy.deepcopy(value)
    del _at(changed, path[:-1])[path[-1]]
    return changed


def _name(path: tuple[Step, ...]) -> str:
    return "/".join(map(str, path))


def _short(value: Any) -> str:
    return json.dumps(value)[:60]
