"""Create many rows at once, or update those whose key or reference is taken: all, or none.

What is wrong with an entry is reported as in a request of its own, with the number of the entry in
front: `#/3/name`.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from marshmallow import Schema, ValidationError
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist import errors
from alchemist.errors import ErrorDetail

from . import batch_errors, bulk_write, json_select, reference_lookup, references, restored_rows
from .batch_entries import ANY_PK, BatchOperation, Entry
from .json_body import LoadedBody, load_collecting_errors
from .operations import Update
from .references import Reference
from .row_inserts import set_or_default_values
from .unknown_fields import UnknownFieldLimit


class Stored(NamedTuple):
    """The rows of all entries, in order, and how many of them are new."""

    rows: list[Any]
    created_count: int


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
    except batch_errors.FAILURES:
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
        request_schema, is_update = operation.creation.request_schema, bool(operation.update)
        found = batch_errors.constraint_error(
            request_schema, entries, rows, values, error, is_update=is_update
        )
        raise found or error from error
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
        details = [*batch_errors.name_unknown_pks(operation.model, entries, details)]
    details += batch_errors.find_repeated(operation.model, entries, loaded)
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
    if all_details := sorted([*details, *found], key=batch_errors.entry_number):
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
        except batch_errors.FAILURES as error:
            failures.append((number, error))
    if failures:
        raise batch_errors.merge_failures(failures)
    return rows
