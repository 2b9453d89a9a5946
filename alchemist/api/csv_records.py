"""Reads CSV (RFC 4180): tells an empty field from an empty text, and says where it is wrong."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, NoReturn

from alchemist import errors

# Bytes of a record: without a limit, a missing quotation mark would join all lines to one record.
MAX_RECORD = 1024 * 1024
# A quoted field, or one without quotes, and what must follow it.
FIELD = re.compile(r'(?:"([^"]*+(?:""[^"]*+)*+)"|([^",\r]*+))(?=,|\Z)')
# A field before or after a quotation mark, and another separator than a comma.
OTHER_SEPARATOR = re.compile(r'"[^"]*+(?:""[^"]*+)*+"([;\t])|[^",\r]*([;\t])"')


class Record(NamedTuple):
    """The fields of a record, and the number of the line where it begins. An empty field is None.

    A field of two quotation marks is an empty text.
    """

    line: int
    fields: list[str | None]


def syntax_error(line: int, detail: str, column: int | None = None) -> errors.BadRequest:
    """Return the error at a line and, if it is known, at the number of a field."""
    place = {"line": line} | ({} if column is None else {"column": column})
    where = ", ".join(f"{name} {number}" for name, number in place.items())
    text = f"{where[0].upper()}{where[1:]}: {detail}"
    return errors.BadRequest(text, [{**place, "code": "malformed-request", "detail": detail}])


def decoded_lines(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield lines of UTF-8 as text, without a byte order mark.

    Raise BadRequest for other bytes and for NUL.
    """
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise syntax_error(number, "It is not UTF-8.") from error
        if "\0" in text:
            raise syntax_error(number, "It contains a NUL character.")
        yield text.removeprefix("\ufeff") if number == 1 else text


def read_records(lines: Iterable[bytes]) -> Iterator[Record]:
    """Yield the records of CSV in UTF-8; raise BadRequest for what RFC 4180 does not allow.

    Each of `lines` ends with a line feed. A byte order mark, as spreadsheets write it, and empty
    lines are skipped.
    """
    begin, pending, is_open = 1, "", False
    for number, line in enumerate(decoded_lines(lines), 1):
        if not is_open:
            begin, pending = number, ""
        pending += line
        if len(pending) > MAX_RECORD:
            raise syntax_error(begin, "The record is too long, or a quotation mark is missing.")
        # A record ends with a line in which no quoted field is open.
        is_open ^= bool(line.count('"') % 2)
        if not is_open and (text := pending.removesuffix("\n").removesuffix("\r")):
            yield Record(begin, _split_record(text, begin))
    if is_open:
        raise syntax_error(begin, "A quotation mark is missing: a quoted field does not end.")


def _split_record(text: str, line: int) -> list[str | None]:
    fields: list[str | None] = []
    position = -1
    while position < len(text):
        match = FIELD.match(text, position + 1)
        if match is None:
            _raise_field_error(text[position + 1 :], line, len(fields) + 1)
        quoted, plain = match.groups()
        fields.append(plain or None if quoted is None else quoted.replace('""', '"'))
        position = match.end()
    return fields


def separator_error(line: int, separator: str) -> errors.BadRequest:
    """Return the error of a line whose fields are separated by semicolons or tabs."""
    name = "semicolons" if separator == ";" else "tabs"
    return syntax_error(line, f"The fields are separated by {name}. Separate them with commas.")


def _raise_field_error(rest: str, line: int, column: int) -> NoReturn:
    if match := OTHER_SEPARATOR.match(rest):
        raise separator_error(line, match[1] or match[2])
    if rest.startswith('"'):
        detail = "A quotation mark inside of a quoted field must be doubled."
    else:
        detail = "A field with a quotation mark or a carriage return must be quoted."
    raise syntax_error(line, detail, column)
