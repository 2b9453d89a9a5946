"""The errors in the entries of a batch, each with the number of its entry in front: `#/3/name`."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from marshmallow import Schema
from sqlalchemy.exc import IntegrityError

from alchemist import errors
from alchemist.errors import ErrorDetail

from . import reference_lookup, references, unique_values
from .batch_entries import Entry
from .database_errors import sqlstate
from .json_body import LoadedBody
from .unique_values import TakenValue, Values

FOREIGN_KEY_VIOLATION = "23503"
UNIQUE_VIOLATION = "23505"
# What a view may raise for one entry; errors of the first of these that occurs are raised.
FAILURES = (errors.Forbidden, errors.UnprocessableContent, errors.Conflict)


def entry_number(detail: ErrorDetail) -> int:
    """Return the number of the entry that the error is in, -1 for an error in the query."""
    return int(detail["pointer"].split("/")[1]) if "pointer" in detail else -1


def name_unknown_pks(
    model: Any, entries: Sequence[Entry], details: Sequence[ErrorDetail]
) -> Iterator[ErrorDetail]:
    """Yield the errors; a `pk` that no row has is the only error in the read-only fields."""
    unknown = {
        entry_number(each)
        for each in details
        if each["code"] == "read-only" and re.fullmatch("#/[0-9]+/pk", each["pointer"])
    }
    unknown = {number for number in unknown if entries[number].body["pk"] is not None}
    for detail in details:
        if detail["code"] != "read-only" or entry_number(detail) not in unknown:
            yield detail
    for number in unknown:
        pk = str(entries[number].body["pk"])[:80]
        text = f"No {model.__name__.lower()} {pk}."
        yield {"pointer": f"#/{number}/pk", "code": "unknown-reference", "detail": text}


def find_repeated(
    model: Any, entries: Sequence[Entry], loaded: Sequence[LoadedBody]
) -> Iterator[ErrorDetail]:
    """Yield an error for each stored row, and each unique value, that an earlier entry has, too."""
    first_of_row: dict[UUID, int] = {}
    values: list[Mapping[str, Any]] = []
    for number, (entry, body) in enumerate(zip(entries, loaded, strict=True)):
        first = first_of_row.setdefault(entry.pk, number) if entry.pk else number
        if first != number:
            name = "pk" if "pk" in entry.body else "reference"
            detail = f"Entry {first} of this request is for the same row."
            yield {"pointer": f"#/{number}/{name}", "code": "duplicate", "detail": detail}
        stored = vars(entry.row) if entry.row else {}
        values.append({**stored, **body.values} if first == number else {})
    for taken, first in unique_values.find_repeated_values(model, values):
        yield _repeated_value_error(entries, taken, first)


def _repeated_value_error(entries: Sequence[Entry], taken: TakenValue, first: int) -> ErrorDetail:
    """Return the error of the entry that has the value; the other may be for a row that has it."""
    name = taken.key.error.pointer.removeprefix("#/")
    number, other = taken.number, first
    if name not in entries[number].body:
        number, other = other, number
    detail = f"Entry {other} of this request has it, too."
    return {"pointer": f"#/{number}/{name}", "code": "duplicate", "detail": detail}


def merge_failures(failures: Sequence[tuple[int, errors.ApiError]]) -> errors.ApiError:
    """Return one error of the first class of FAILURES that occurs, with all details of its kind."""
    kind = next(each for each in FAILURES if any(isinstance(error, each) for _, error in failures))
    same_kind = [(number, error) for number, error in failures if isinstance(error, kind)]
    details = [
        detail | {"pointer": f"#/{number}{detail.get('pointer', '#')[1:]}"}
        for number, error in same_kind
        for detail in error.errors or [{"code": error.problem_type.code, "detail": error.detail}]
    ]
    first = same_kind[0][1]
    code = None if first.errors else first.problem_type.code
    return kind(first.detail, details, code=code)


def _pointer(taken: TakenValue) -> str:
    return f"#/{taken.number}{taken.key.error.pointer[1:]}"


def constraint_error(
    request_schema: Schema,
    entries: Sequence[Entry],
    rows: Sequence[Any],
    values: Values,
    error: IntegrityError,
    *,
    is_update: bool,
) -> errors.ApiError | None:
    """Return the error of the violated constraint with the entries that violate it."""
    if sqlstate(error) == FOREIGN_KEY_VIOLATION:
        found = [
            reference
            for number, entry in enumerate(entries)
            for reference in references.find_references(request_schema, entry.body, (number,))
        ]
        unknown = reference_lookup.look_up_reference_errors(found)
        return errors.UnprocessableContent.from_errors(unknown) if unknown else None
    if sqlstate(error) != UNIQUE_VIOLATION:
        return None
    taken = list(unique_values.find_taken_values(type(rows[0]), values))
    is_race = is_update and any(
        each.key.error.pointer == "#/reference" and entries[each.number].row is None
        for each in taken
    )
    if is_race or not taken:
        return errors.RetryRequest("Another request stored the same values.")
    return _conflict(entries, sorted(taken, key=lambda each: (each.number, _pointer(each))))


def _conflict(entries: Sequence[Entry], taken: Sequence[TakenValue]) -> errors.Conflict:
    details = []
    for each in taken:
        value = entries[each.number].body.get(each.key.error.pointer.removeprefix("#/"))
        detail = f"{each.key.error.detail} It is {json.dumps(value, ensure_ascii=False)}."
        details.append({"pointer": _pointer(each), "code": "already-exists", "detail": detail})
    summary = details[0]["detail"] if len(details) == 1 else f"{len(details)} values are taken."
    return errors.Conflict(summary, details)
