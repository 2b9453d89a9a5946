"""Entries of a batch from CSV and NDJSON, and the line and column of each error in them."""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from marshmallow import Schema
from marshmallow.fields import Boolean, Field, Integer, List, Nested

from alchemist import errors
from alchemist.errors import ErrorDetail

from .csv_records import Record, decoded_lines, read_records, separator_error, syntax_error
from .json_body import loads_strict

# How the detail of an error names another entry, which in a text has a line. Only at the beginning:
# a detail may end with a value that the client sent.
ENTRY = re.compile(r"\AEntry ([0-9]+) of this request")
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}(\.0+)?")
Convert = Callable[[str], Any]


class TextEntry(NamedTuple):
    """An entry as JSON, the line where it begins, and the numbers of its columns by their names."""

    body: Any
    line: int | None = None
    columns: Mapping[str, int] = MappingProxyType({})


ReadEntries = Callable[[Iterable[bytes], Sequence[Schema]], Iterator[TextEntry]]


def read_ndjson(lines: Iterable[bytes], _schemas: Sequence[Schema]) -> Iterator[TextEntry]:
    """Yield the JSON value of each line; empty lines are skipped. Raise BadRequest."""
    for number, line in enumerate(decoded_lines(lines), 1):
        if number == 1 and line.lstrip().startswith("["):
            detail = "It is a JSON array. Write one object on each line, without brackets."
            raise syntax_error(number, detail)
        if line.strip():
            yield TextEntry(_loads_line(line, number), number)


def read_csv(lines: Iterable[bytes], schemas: Sequence[Schema]) -> Iterator[TextEntry]:
    """Yield an object for each record after the header, whose names are those of `schemas`.

    An empty field is null, or missing if the field has no null and if it is read-only. Raise
    BadRequest for wrong syntax, and UnprocessableContent for wrong names.
    """
    records = read_records(_without_json(lines))
    header = next(records, None)
    if header is None:
        raise errors.BadRequest("The first line must have the names of the columns.")
    known = {
        field.data_key or name: (field, name in schema.load_fields)
        for schema in reversed(schemas)
        for name, field in schema.fields.items()
    }
    names = _check_header_names(header, known)
    columns = {name: number for number, name in enumerate(names, 1)}
    readers = [
        (name, _text_to_json_converter(known[name][0]), _accepts_null(*known[name]))
        for name in names
    ]
    for record in records:
        if len(record.fields) != len(names):
            detail = f"It has {len(record.fields)} fields; the first line has {len(names)}."
            raise syntax_error(record.line, detail)
        yield TextEntry(_record_to_object(record, readers), record.line, columns)


def _without_json(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines; raise BadRequest if the first one is the beginning of JSON."""
    for number, line in enumerate(lines, 1):
        if number == 1 and line.removeprefix(BOM_UTF8).lstrip().startswith((b"[", b"{")):
            raise syntax_error(number, "It is JSON, not CSV.")
        yield line


def _check_header_names(header: Record, known: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns; raise an error for unknown and repeated ones."""
    names = [name or "" for name in header.fields]
    if len(names) == 1 and names[0] not in known and (match := re.search(r"[;\t]", names[0])):
        raise separator_error(header.line, match[0])
    details: list[ErrorDetail] = []
    seen: set[str] = set()
    # Of more names than there are, one of these is unknown or repeated.
    for number, name in enumerate(names[: len(known) + 1], 1):
        place = {"line": header.line, "column": number}
        if name not in known:
            detail = f"There is no column {name[:80]!r}."
            details.append({**place, "code": "unknown-field", "detail": detail})
        elif name in seen:
            detail = f"The column {name} is there twice."
            details.append({**place, "code": "duplicate", "detail": detail})
        seen.add(name)
    if details:
        raise errors.UnprocessableContent.from_errors(details)
    return names


def _accepts_null(field: Field[Any], is_writable: bool) -> bool:
    return field.allow_none and is_writable


def _record_to_object(
    record: Record, readers: Sequence[tuple[str, Convert, bool]]
) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for column, ((name, convert, has_null), text) in enumerate(
        zip(readers, record.fields, strict=True), 1
    ):
        if text is not None:
            try:
                body[name] = convert(text)
            except errors.BadRequest as error:
                raise syntax_error(record.line, error.detail, column) from error
        elif has_null:
            body[name] = None
    return body


def _text_to_json_converter(field: Field[Any]) -> Convert:
    """Return the function that makes the JSON value of a field from its text in CSV."""
    if isinstance(field, List | Nested):
        return lambda text: loads_strict(text.encode())
    if isinstance(field, Integer):
        return lambda text: int(text.partition(".")[0]) if WHOLE_NUMBER.fullmatch(text) else text
    if isinstance(field, Boolean):
        return lambda text: {"true": True, "false": False}.get(text, text)
    return lambda text: text


def _loads_line(line: str, number: int) -> Any:
    try:
        # Without its end: an error says where in the line it is.
        return loads_strict(line.rstrip("\r\n").encode())
    except errors.BadRequest as error:
        raise syntax_error(number, error.detail) from error


@contextmanager
def add_lines_to_errors(entries: Sequence[TextEntry]) -> Iterator[None]:
    """Add to each error in an entry the line and, in CSV, the number of the column."""
    try:
        yield
    except errors.ApiError as error:
        error.detail = ENTRY.sub(partial(_line_of_entry, entries), error.detail)
        for detail in error.errors:
            detail.update(_line_and_column(detail.get("pointer", ""), entries))
            detail["detail"] = ENTRY.sub(partial(_line_of_entry, entries), detail["detail"])
        raise


def _line_of_entry(entries: Sequence[TextEntry], match: re.Match[str]) -> str:
    line = entries[int(match[1])].line
    return match[0] if line is None else f"Line {line}"


def _line_and_column(pointer: str, entries: Sequence[TextEntry]) -> ErrorDetail:
    match = re.match(r"#/([0-9]+)(?:/([^/]+))?", pointer)
    entry = entries[int(match[1])] if match else TextEntry(None)
    if match is None or entry.line is None:
        return {}
    column = entry.columns.get(match[2] or "")
    return {"line": entry.line} | ({} if column is None else {"column": column})
