"""Hostile batches: entries that are no rows, rows twice, and bodies in CSV and NDJSON."""

import json
from collections.abc import Iterator
from typing import Any

from tests.hostile import json_texts
from tests.hostile.bodies import STRINGS
from tests.hostile.exchange import Request
from tests.hostile.operations import Operation

CSV, NDJSON = "text/csv", "application/x-ndjson"
MOST = 500
NOBODY = "00000000-0000-7000-8000-000000000000"
NO_ENTRIES: tuple[Any, ...] = (None, True, 0, 1.5, "", "a", [], [[]], [{}], {}, {"": 0}, "null")
# Members of which no two rows may have the same value.
UNIQUE = {"reference", "email", "nickname", "code"}
UPDATE = "?on_conflict=update"
BOM = b"\xef\xbb\xbf"
# What is no UTF-8, or may not be in a text.
BAD_BYTES = {
    "Latin-1": b"\xe9",
    "an overlong slash": b"\xc0\xaf",
    "a surrogate in UTF-8": b"\xed\xa0\x80",
    "a sequence that is cut": b"\xe2\x82",
    "a code point beyond the last": b"\xf4\x90\x80\x80",
    "a byte that never is": b"\xff",
    "NUL": b"\x00",
}
UTF_16 = ("utf-16", "utf-16-le", "utf-16-be", "utf-32")
FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@a",
    "=cmd|' /C calc'!A0",
    "\t=1",
    "a\r\nb",
    'a"b',
    "a,b",
    ";",
    "'",
)
MEDIA_TYPES = (
    *("text/csv; charset=utf-16", "text/csv; charset=latin-1", "text/csv2", "text/plain"),
    *("application/csv", "application/ndjson2", "application/x-ndjson; charset=utf-16", "text/*"),
)


def batches(operation: Operation) -> Iterator[Request]:
    """Yield arrays with entries that are no rows, too many, or for one row, none if no batch."""
    if not operation.path.endswith("/batch"):
        return
    yield from _no_arrays(operation)
    yield from _no_rows(operation)
    yield from _same_rows(operation)
    yield from _stored_rows(operation)


def text_batches(operation: Operation) -> Iterator[Request]:
    """Yield batches in CSV and NDJSON, well-formed and not, none if the operation is no batch."""
    if not operation.path.endswith("/batch"):
        return
    yield from _media_types(operation)
    yield from _csv_syntax(operation)
    yield from _csv_columns(operation)
    yield from _csv_values(operation)
    yield from _ndjson(operation)
    for media_type, make in ((CSV, to_csv), (NDJSON, to_ndjson)):
        yield from _bad_bytes(operation, media_type, make(operation.sample()))


def to_csv(entries: list[Any]) -> bytes:
    """Return the entries as the service writes them: each text quoted, null an empty field."""
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    lines = [
        ",".join(names),
        *(",".join(_field(each.get(name)) for name in names) for each in entries),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogatepass")


def _field(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return '"' + text.replace('"', '""') + '"'


def to_ndjson(entries: list[Any]) -> bytes:
    return "".join(f"{json.dumps(entry)}\n" for entry in entries).encode()


def _no_arrays(operation: Operation) -> Iterator[Request]:
    for body in ({}, {"0": {}}, None, True, 0, "a", []):
        yield operation.request(body).but(f"the batch is {json.dumps(body)}", must="422")
    for length in (MOST + 1, 100_000):
        yield operation.request([{}] * length).but(f"it has {length} entries", must="too-long")
    for entry in ({}, 0, {"a" * 1000: 0}, {"": {"": {}}}, {"pk": 0}):
        why = f"it has {MOST} times {json.dumps(entry)[:30]}"
        yield operation.request([entry] * MOST).but(why, must="422")


def _no_rows(operation: Operation) -> Iterator[Request]:
    for entry in NO_ENTRIES:
        for index in range(3):
            entries = operation.sample()
            entries.insert(index, entry)
            why = f"entry {index} is {json.dumps(entry)}"
            yield operation.request(entries).but(why, must="422")
    for name in ("version", "created_at", "pk", "__class__", "a/b~c", "\U0001f9ea", "k" * 5000):
        for value in (None, 0, "a", {"deep": [0]}):
            first, *rest = operation.sample()
            why = f"an entry has {name[:20]!r}, {json.dumps(value)}"
            yield operation.request([*rest, first | {name: value}]).but(why)


def _same_rows(operation: Operation) -> Iterator[Request]:
    for query in ("", UPDATE):
        first, *_ = operation.sample()
        shown = operation.request([first, first])
        must = "refused" if first.keys() & UNIQUE else ""
        yield shown.but("an entry is there twice", target=shown.target + query, must=must)
    for query in (
        "=",
        "=ignore",
        "=UPDATE",
        "=update,update",
        "=update&on_conflict=update",
        "[]=a",
    ):
        shown = operation.request()
        target = f"{shown.target}?on_conflict{query}"
        yield shown.but(f"the query is on_conflict{query}", target=target, must="422")


def _stored_rows(operation: Operation) -> Iterator[Request]:
    """Yield updates by keys that no row has, that are no keys, or that two entries have."""
    pk = _pk_of_a_row(operation)
    for sent, must in ((NOBODY, "422"), ("a", "422"), (0, "422"), ([pk], "422"), (None, "")):
        first, *rest = operation.sample()
        shown = operation.request([*rest, first | {"pk": sent}])
        yield shown.but(f"an entry has the pk {sent}", target=shown.target + UPDATE, must=must)
    for sent in (pk, pk.upper(), pk.replace("-", ""), f"{{{pk}}}", f" {pk} "):
        first, *_ = operation.sample()
        shown = operation.request([{"pk": pk}, first | {"pk": sent}])
        why = f"two entries have the pks {pk} and {sent}"
        yield shown.but(why, target=shown.target + UPDATE, must="refused")
        yield operation.request([{"pk": sent}]).but(why, target=shown.target + UPDATE)
        yield operation.request([first | {"pk": sent}]).but(f"a new row has the pk {sent}")


def _pk_of_a_row(operation: Operation) -> str:
    item = operation.document["paths"][operation.path.replace("/batch", "/{pk}")]["get"]
    return next(str(known["example"]) for known in item["parameters"] if known.get("name") == "pk")


def _text(operation: Operation, why: str, media_type: str, body: bytes, must: str = "") -> Request:
    """Return the batch with this body; `why` is cut where nobody would read on."""
    shown = operation.request()
    headers = shown.with_header("Content-Type", media_type)
    return shown.but(f"{media_type}: {why[:80]}", headers=headers, body=body, must=must)


def _media_types(operation: Operation) -> Iterator[Request]:
    for media_type in MEDIA_TYPES:
        body = to_csv(operation.sample())
        yield _text(operation, "a media type", media_type, body, "unsupported-media-type")
    for media_type, body in ((CSV, to_ndjson), (NDJSON, to_csv)):
        yield _text(operation, "the other format", media_type, body(operation.sample()), "refused")
        yield _text(
            operation, "JSON", media_type, json.dumps(operation.sample()).encode(), "refused"
        )


def _bad_bytes(operation: Operation, media_type: str, body: bytes) -> Iterator[Request]:
    middle = body.index(b"\n", len(body) // 3)
    for name, bad in BAD_BYTES.items():
        for where, at in (("before", 0), ("in the middle", middle), ("behind", len(body))):
            changed = body[:at] + bad + body[at:]
            yield _text(operation, f"{name} {where}", media_type, changed, "400")
    for encoding in UTF_16:
        yield _text(operation, encoding, media_type, body.decode().encode(encoding), "400")
    for length in range(1, len(body), max(1, len(body) // 50)):
        yield _text(operation, f"cut after {length} bytes", media_type, body[:length])
    yield _text(operation, "a byte order mark", media_type, BOM + body, "not malformed-request")
    yield _text(operation, "two byte order marks", media_type, BOM * 2 + body, "refused")
    yield _text(operation, "empty lines", media_type, b"\r\n\n" + body + b"\n\r\n")
    yield _text(operation, "white space", media_type, b" \t\n" * 300_000, "refused")
    yield _text(operation, "line feeds", media_type, b"\n" * 1_000_000, "refused")
    yield _text(operation, "carriage returns", media_type, b"\r" * 1_000_000, "refused")
    yield _text(operation, "one long line", media_type, b"a" * 1_000_000, "refused")
    yield _text(operation, "nothing", media_type, b"", "refused")


def _csv_syntax(operation: Operation) -> Iterator[Request]:
    lines = to_csv(operation.sample()).splitlines(keepends=True)
    header, first, whole = lines[0], lines[1], b"".join(lines)
    count = header.count(b",") + 1
    bodies = {
        "the header alone": (header, "422"),
        "no header": (b"".join(lines[1:]), "refused"),
        "a header twice": (header + whole, "refused"),
        "semicolons": (header.replace(b",", b";") + first.replace(b",", b";"), "refused"),
        "tabs": (header.replace(b",", b"\t") + first.replace(b",", b"\t"), "refused"),
        "a field too few": (header + b",".join([b'""'] * (count - 1)) + b"\r\n", "refused"),
        "a field too many": (header + first.rstrip() + b",\r\n", "400"),
        "a quotation mark that stays open": (header + b'"' + first[1:] + b'"', "refused"),
        "a quotation mark in a field": (header + first.replace(b'"', b'a"', 1), "400"),
        "text behind a quoted field": (header + first.replace(b'",', b'"a,', 1), "400"),
        "a comment": (b"# a\r\n" + whole, "refused"),
        "line feeds alone": (whole.replace(b"\r\n", b"\n"), "not malformed-request"),
        "carriage returns alone": (whole.replace(b"\r\n", b"\r"), "refused"),
        "a record for each quotation mark": (header + b'"\r\n' * 200_000, "400"),
        "quotation marks": (header + b'"' * 500_000, "refused"),
        "commas": (header + b"," * 500_000, "400"),
        "a record of nothing": (header + b"," * (count - 1) + b"\r\n", "refused"),
    }
    for why, (body, must) in bodies.items():
        yield _text(operation, why, CSV, body, must)
    many = header + (b",".join([b'"a"'] * count) + b"\r\n") * (MOST + 1)
    yield _text(operation, f"{MOST + 1} records", CSV, many, "refused")


def _csv_columns(operation: Operation) -> Iterator[Request]:
    first, *_ = operation.sample()
    body = to_csv([first])
    names = [*first]
    for name in ("a" * 100_000, "", " ", "\u202e", "__class__", "pk ", "PK", '"', "n" * 65_000):
        row = {f"{name}": "1"} | first
        yield _text(operation, f"there is a column {name[:20]!r}", CSV, to_csv([row]), "refused")
    for count in (2, 100, 10_000, 50_000):
        columns = ",".join([names[0]] * count)
        values = ",".join(["1"] * count)
        text = f"{columns}\r\n{values}\r\n".encode()
        yield _text(operation, f"a column is there {count} times", CSV, text, "422")
        many = ",".join(f"c{number}" for number in range(count))
        text = f"{many}\r\n{values}\r\n".encode()[:1_000_000]
        yield _text(operation, f"there are {count} unknown columns", CSV, text, "refused")
    for name in ("pk", "created_at", "updated_at"):
        for value in ("", "a", NOBODY, "2026-01-01", "null"):
            text = to_csv([first | {name: value or None}])
            yield _text(operation, f"{name} is {value!r}", CSV, text)
    yield _text(operation, "as it should be", CSV, body, "not malformed-request")


def _csv_values(operation: Operation) -> Iterator[Request]:
    """Yield each field with what is no value of it, and text that means something elsewhere."""
    hostile = [*FORMULAS, *_json_texts(), *(text for each in STRINGS.values() for text in each)]
    for name in operation.sample()[0]:
        for value in hostile:
            first, *_ = operation.sample()
            text = to_csv([first | {name: value}])
            yield _text(operation, f"{name} is {value[:40]!r}", CSV, text)
        first, *_ = operation.sample()
        yield _text(operation, f"{name} is null", CSV, to_csv([first | {name: None}]))


def _json_texts() -> Iterator[str]:
    """Yield what may stand where JSON or a number is read from a field."""
    yield from (
        "null",
        "true",
        "1e400",
        "NaN",
        "-0",
        "1.0",
        "1.5",
        "9" * 5000,
        "1_0",
        "\u0661",
        "0x1",
    )
    yield from ("[", "[]", "{}", "[null]", "[[]]", '{"a": 1, "a": 2}', r'["\ud800"]', r'"\u0000"')
    yield from ("[" * 100_000, "[" * 33 + "]" * 33, '{"pk": ' * 1000, "[" + "0," * 100_000 + "0]")


def _ndjson(operation: Operation) -> Iterator[Request]:
    lines = to_ndjson(operation.sample()).splitlines(keepends=True)
    for name, text in json_texts.REFUSED.items():
        if text.strip() and b"\n" not in text:
            body = b"".join([*lines, text, b"\n"])
            yield _text(operation, f"a line is {name}", NDJSON, body, "400")
    for entry in NO_ENTRIES:
        body = b"".join([json.dumps(entry).encode(), b"\n", *lines])
        # An array in the first line may be a JSON text that was sent as NDJSON.
        must = "refused" if isinstance(entry, list) else "422"
        yield _text(operation, f"a line is {json.dumps(entry)}", NDJSON, body, must)
    for count in (MOST + 1, 100_000):
        yield _text(operation, f"{count} lines", NDJSON, b"{}\n" * count, "too-long")
    yield _text(operation, "an object on two lines", NDJSON, b"{\n}\n", "400")
    yield _text(operation, "two objects on a line", NDJSON, b"{}{}\n", "400")
    yield _text(operation, "no line feed at the end", NDJSON, b"".join(lines).rstrip(b"\n"))
