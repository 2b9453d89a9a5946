"""Create many rows at once, or update those whose key or reference is taken: all, or none.

What is wrong with an entry is reported as in a request of its own, with the number of the entry in
front: `#/3/name`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from marshmallow import Schema, ValidationError
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist import errors
from alchemist.errors import ErrorDetail

from . import bulk_write, json_select, reference_lookup, references, restored_rows, unique_values
from .database_errors import sqlstate
from .json_body import LoadedBody, load_collecting_errors
from .operations import Creation, Update
from .references import Reference
from .row_inserts import set_or_default_values
from .unique_values import TakenValue, Values
from .unknown_fields import UnknownFieldLimit

FOREIGN_KEY_VIOLATION = "23503"
UNIQUE_VIOLATION = "23505"
# What a view may raise for one entry; errors of the first of these that occurs are raised.
FAILURES = (errors.Forbidden, errors.UnprocessableContent, errors.Conflict)
# Stands for the key in a query of one row that is made one of several rows.
ANY_PK = UUID(int=0)
CreateMany = Callable[[Sequence[Mapping[str, Any]]], Sequence[Any]]


@dataclass(frozen=True)
class BatchOperation:
    """What is done with each entry: that of a POST of one row or, with `update`, of a PATCH.

    `create_many` replaces the view of the POST, if that would look up something for each row. With
    `restores`, the entries are those of an export: an entry whose `pk` no row has creates that row.
    With `omits_nulls`, a null of a new row is as if it were missing: CSV has one empty field for
    both.
    """

    creation: Creation
    update: Update | None = None
    create_many: CreateMany | None = None
    restores: bool = False
    omits_nulls: bool = False

    @property
    def model(self) -> Any:
        """The model of the rows."""
        return self.creation.find(pk=ANY_PK).model

    @property
    def schemas(self) -> tuple[Schema, Schema]:
        """The schemas of the body and of the representation."""
        return self.creation.request_schema, self.creation.schema


class Stored(NamedTuple):
    """The rows of all entries, in order, and how many of them are new."""

    rows: list[Any]
    created_count: int


@dataclass
class Entry:
    """An entry of a batch, and the stored row that it updates, with its representation.

    The `read_only` members of an entry that restores its row have the `restored` values.
    """

    body: Any
    row: Any = None
    current: Mapping[str, Any] | None = None
    read_only: Mapping[str, Any] = field(default_factory=dict)
    restored: Mapping[str, Any] = field(default_factory=dict)

    def body_to_load(self, *, omits_nulls: bool) -> Any:
        """Return the body, of a new row without its read-only members and, maybe, its nulls."""
        if self.row or not (self.read_only or omits_nulls) or not isinstance(self.body, dict):
            return self.body
        return {
            name: value
            for name, value in self.body.items()
            if name not in self.read_only and not (omits_nulls and value is None)
        }

    @property
    def pk(self) -> Any:
        """The key of its row, None if the row is new and gets one."""
        return self.row.pk if self.row else self.restored.get("pk")


def store_entries(
    operation: BatchOperation,
    bodies: Sequence[Any],
    *,
    query_errors: Sequence[ErrorDetail] = (),
) -> Stored:
    """Create or update a row for each body, in the session.

    The number of statements does not depend on the number of bodies. The views of the operation
    use the caller of the current request. Raise UnprocessableContent, Forbidden or Conflict for all
    mistakes of one kind together, and RetryRequest if another writer was faster.
    """
    entries = [Entry(body) for body in bodies]
    if operation.update:
        _lock_existing(operation, operation.update, entries)
    loaded = _load(operation, entries, query_errors)
    try:
        return _write(operation, entries, loaded)
    except FAILURES:
        if _can_defer_lookup(operation, loaded):
            _raise_reference_errors(operation, entries)
        raise


def _write(
    operation: BatchOperation, entries: Sequence[Entry], loaded: Sequence[LoadedBody]
) -> Stored:
    """Create or update a row for each entry; a reference may be to a row that does not exist."""
    with db.deferred_writes():
        rows = _create_or_change(operation, entries, loaded)
        values = _column_values(entries, rows)
    write_updates = bulk_write.detach_and_prepare_updates(
        [each.row for each in entries if each.row]
    )
    new = [number for number, entry in enumerate(entries) if entry.row is None]
    try:
        with db.session.begin_nested():
            write_updates()
            bulk_write.insert_many([rows[n] for n in new], [values[n] for n in new])
    except IntegrityError as error:
        raise _located(operation, entries, rows, values, error) or error from error
    if operation.restores:
        _check_restored(operation, entries, rows)
    return Stored(rows, len(new))


def _column_values(entries: Sequence[Entry], rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the values of the columns, of a stored row those that are loaded or set.

    New rows get primary keys that ascend, so that their order is that of their creation.
    """
    pks = iter(sorted(uuid7() for _ in rows))
    values = []
    for entry, row in zip(entries, rows, strict=True):
        if entry.row is None:
            row.pk = next(pks)
            if entry.restored:
                db.update(row, entry.restored)
        values.append(set_or_default_values(row) if entry.row is None else {**vars(row)})
    return values


def representations(operation: BatchOperation, rows: Sequence[Any]) -> str:
    """Return the JSON array of the rows, in their order."""
    model: Any = type(rows[0])
    statement = json_select.select_json_array(model, operation.creation.schema)
    [(body,)] = db.execute_compiled(statement, {"pks": [row.pk for row in rows]})
    return str(body)


def _lock_existing(operation: BatchOperation, update: Update, entries: Sequence[Entry]) -> None:
    """Lock the rows that the entries name by key or reference, and add them to the entries.

    The key decides if an entry has both. Raise Forbidden if the caller may not change all of them.
    """
    query = update.find(pk=ANY_PK)
    by_pk = _group_by(operation.creation.schema, "pk", entries)
    by_reference = _group_by(operation.creation.request_schema, "reference", entries)
    keys = list(by_pk), list(by_reference)
    rows = db.lock_rows(query.model, *keys) if any(keys) else ()
    writable = query.for_several([row.pk for row in rows])
    statement = json_select.select_json(writable.select, operation.creation.schema)
    documents = db.fetch_all(statement, writable.parameters) if rows else ()
    current = {document["pk"]: document for document in (json.loads(text) for (text,) in documents)}
    for numbers_of in (
        lambda row: by_reference.get(getattr(row, "reference", None), ()),
        lambda row: by_pk.get(row.pk, ()),
    ):
        for row in rows:
            for number in numbers_of(row):
                entries[number].row, entries[number].current = row, current.get(str(row.pk))
    if forbidden := [n for n, each in enumerate(entries) if each.row and each.current is None]:
        pointers = [references.json_pointer((number,)) for number in forbidden]
        raise errors.Forbidden.missing_permission(query.permission, pointers)


def _group_by(schema: Schema, name: str, entries: Sequence[Entry]) -> dict[Any, list[int]]:
    """Return the numbers of the entries by the value of a field, as far as it is valid."""
    field: Any = schema.fields.get(name)
    numbers: dict[Any, list[int]] = {}
    for number, entry in enumerate(entries):
        sent = entry.body.get(name) if isinstance(entry.body, dict) else None
        with suppress(ValidationError):
            if field and sent is not None:
                numbers.setdefault(field.deserialize(sent), []).append(number)
    return numbers


def _restore(operation: BatchOperation, entries: Sequence[Entry]) -> Iterator[ErrorDetail]:
    """Set the `restored` values of the entries that create rows; yield the errors in them."""
    schema = operation.creation.request_schema
    for number, entry in enumerate(entries):
        if entry.row is None:
            entry.read_only = restored_rows.read_only_members(schema, entry.body)
            entry.restored, details = restored_rows.load(schema, entry.read_only, (number,))
            yield from details
    pks = {number: entry.pk for number, entry in enumerate(entries) if "pk" in entry.restored}
    yield from restored_rows.taken_pk_errors(operation.model, pks)


def _check_restored(
    operation: BatchOperation, entries: Sequence[Entry], rows: Sequence[Any]
) -> None:
    """Raise UnprocessableContent for read-only members that differ from those of the new rows."""
    schema = operation.creation.schema
    compared = [restored_rows.compared_members(schema, entry.read_only) for entry in entries]
    if any(compared):
        documents = json.loads(representations(operation, rows))
        details = [
            detail
            for number, members in enumerate(compared)
            for detail in restored_rows.difference_errors(
                schema, members, documents[number], (number,)
            )
        ]
        if details:
            raise errors.UnprocessableContent.from_errors(details)


def _with_unknown_pks(
    model: Any, entries: Sequence[Entry], details: Sequence[ErrorDetail]
) -> Iterator[ErrorDetail]:
    """Yield the errors; a `pk` that no row has is the only error in the read-only fields."""
    unknown = {
        _entry_number(each)
        for each in details
        if each["code"] == "read-only" and re.fullmatch("#/[0-9]+/pk", each["pointer"])
    }
    unknown = {number for number in unknown if entries[number].body["pk"] is not None}
    for detail in details:
        if detail["code"] != "read-only" or _entry_number(detail) not in unknown:
            yield detail
    for number in unknown:
        pk = str(entries[number].body["pk"])[:80]
        text = f"No {model.__name__.lower()} {pk}."
        yield {"pointer": f"#/{number}/pk", "code": "unknown-reference", "detail": text}


def _repeated_errors(
    model: Any, entries: Sequence[Entry], loaded: Sequence[LoadedBody]
) -> Iterator[ErrorDetail]:
    """Yield an error for each stored row, and each unique value, that an earlier entry has, too."""
    first_of_row: dict[UUID, int] = {}
    values: list[Mapping[str, Any]] = []
    for number, (entry, body) in enumerate(zip(entries, loaded, strict=True)):
        first = first_of_row.setdefault(entry.pk, number) if entry.pk else number
        if first != number:
            name = "pk" if "pk" in entry.body or "pk" in entries[first].body else "reference"
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


def _load(
    operation: BatchOperation, entries: Sequence[Entry], query_errors: Sequence[ErrorDetail]
) -> list[LoadedBody]:
    """Return the values of the entries; raise UnprocessableContent for all errors in them."""
    creation, update = operation.creation, operation.update
    if creation.authorize:
        creation.authorize(_references_in(operation, entries))
    restored_errors = [*_restore(operation, entries)] if operation.restores else []
    unknown_fields = UnknownFieldLimit()
    loaded = [
        load_collecting_errors(
            update.patch if update and entry.row else creation.request_schema,
            entry.body_to_load(omits_nulls=operation.omits_nulls),
            entry.current or {},
            (number,),
            unknown_fields,
        )
        for number, entry in enumerate(entries)
    ]
    details = [*query_errors, *(detail for each in loaded for detail in each.errors)]
    details += restored_errors
    if update:
        details = [*_with_unknown_pks(operation.model, entries, details)]
    details += _repeated_errors(operation.model, entries, loaded)
    if hasattr(creation.request_schema, "find_errors_against_stored_rows"):
        details += creation.request_schema.find_errors_against_stored_rows(loaded)
    if details or not _can_defer_lookup(operation, loaded):
        _raise_reference_errors(operation, entries, details)
    return loaded


def _raise_reference_errors(
    operation: BatchOperation, entries: Sequence[Entry], details: Sequence[ErrorDetail] = ()
) -> None:
    """Raise UnprocessableContent if any row does not exist, or for other errors."""
    found = reference_lookup.look_up_reference_errors(_references_in(operation, entries))
    if all_details := sorted([*details, *found], key=_entry_number):
        raise errors.UnprocessableContent.from_errors(all_details)


def _references_in(operation: BatchOperation, entries: Sequence[Entry]) -> list[Reference]:
    """Return the references in the entries that the caller may look up."""
    schema = operation.creation.request_schema
    return [
        reference
        for number, entry in enumerate(entries)
        for reference in references.find_visible_references(schema, entry.body, (number,))
    ]


def _can_defer_lookup(operation: BatchOperation, loaded: Sequence[LoadedBody]) -> bool:
    """Return whether the foreign keys find everything that is wrong with the references."""
    is_creation = not (operation.update or operation.creation.authorize)
    return is_creation and all(each.is_ordinary for each in loaded)


def _entry_number(detail: ErrorDetail) -> int:
    """Return the number of the entry that the error is in, -1 for an error in the query."""
    return int(detail["pointer"].split("/")[1]) if "pointer" in detail else -1


def _create_or_change(
    operation: BatchOperation, entries: Sequence[Entry], loaded: Sequence[LoadedBody]
) -> list[Any]:
    """Return the row of each entry; raise all errors of one class together."""
    values = [body.values for body, entry in zip(loaded, entries, strict=True) if not entry.row]
    created = iter(operation.create_many(values)) if operation.create_many else None
    rows, failures = [], []
    for number, (entry, body) in enumerate(zip(entries, loaded, strict=True)):
        try:
            if entry.row is None:
                rows.append(next(created) if created else operation.creation.view(body.values))
            else:
                operation.update.view(entry.row, body.values)  # type: ignore[union-attr]
                rows.append(entry.row)
        except FAILURES as error:
            failures.append((number, error))
    if failures:
        raise _merge(failures)
    return rows


def _merge(failures: Sequence[tuple[int, errors.ApiError]]) -> errors.ApiError:
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


def _located(
    operation: BatchOperation,
    entries: Sequence[Entry],
    rows: Sequence[Any],
    values: Values,
    error: IntegrityError,
) -> errors.ApiError | None:
    """Return the error of the violated constraint with the entries that violate it."""
    if sqlstate(error) == FOREIGN_KEY_VIOLATION:
        schema = operation.creation.request_schema
        found = [
            reference
            for number, entry in enumerate(entries)
            for reference in references.find_references(schema, entry.body, (number,))
        ]
        unknown = reference_lookup.look_up_reference_errors(found)
        return errors.UnprocessableContent.from_errors(unknown) if unknown else None
    if sqlstate(error) != UNIQUE_VIOLATION:
        return None
    taken = list(unique_values.find_taken_values(type(rows[0]), values))
    is_race = operation.update and any(
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
