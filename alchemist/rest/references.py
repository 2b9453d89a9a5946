"""What a body says of other rows: whatever is not so is told with its pointer, all at once."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unicodedata import normalize
from uuid import UUID

from marshmallow import Schema
from marshmallow.fields import Field, Nested
from sqlalchemy import Row, Select, bindparam, func, select

from alchemist.db import session
from alchemist.errors import Entry
from alchemist.fields import CANONICAL_UUID, Many, Pk

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Reference:
    """A key in a body, and what the body claims of the row that it names, by column."""

    path: Path
    model: type[Any]
    pk: UUID
    claims: dict[str, tuple[Path, str]] = field(default_factory=dict)


def complaints(schema: Schema, body: Any) -> list[Entry]:
    """Return what is wrong with the references of `body`; keep the rows they lead to from going.

    A reference may lead nowhere, stand twice in a unique list, or come with a read-only field
    of its row that is another there. One statement for each model that is referred to.
    """
    references = list(_in_object(schema, body, ()))
    rows = {model: _rows(model, mine) for model, mine in _by_model(references).items()}
    told = [_complaint(found, rows[found.model].get(found.pk)) for found in references]
    return [entry for entries in told for entry in entries] + list(_repeated(schema, body))


def pointer(path: Path) -> str:
    """Return the URI fragment form of a JSON pointer (RFC 6901 §6), its own escapes only."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "".join(["#", *(f"/{step}" for step in steps)])


def _complaint(reference: Reference, row: Row[Any] | None) -> Iterator[Entry]:
    if row is None:
        detail = f"No {reference.model.__name__.lower()} {reference.pk}."
        yield _entry(reference.path, "unknown-reference", detail)
        return
    for column, (path, claimed) in reference.claims.items():
        if normalize("NFC", claimed).strip() != getattr(row, column):
            yield _entry(path, "read-only", "It is another, and cannot be changed here.")


def _entry(path: Path, code: str, detail: str) -> Entry:
    return {"pointer": pointer(path), "code": code, "detail": detail}


def _by_model(references: Iterable[Reference]) -> dict[type[Any], list[Reference]]:
    found: dict[type[Any], list[Reference]] = defaultdict(list)
    for reference in references:
        found[reference.model].append(reference)
    return found


def _rows(model: Any, references: list[Reference]) -> dict[UUID, Row[Any]]:
    pks = {reference.pk for reference in references}
    columns = frozenset(column for reference in references for column in reference.claims)
    found = session.execute(_held(model, columns), {"pks": list(pks)})
    return {row.pk: row for row in found}


@cache
def _held(model: Any, columns: frozenset[str]) -> Select[Any]:
    """Return the statement that finds rows by their keys and keeps them from going."""
    rows = select(model.pk, *(getattr(model, column) for column in sorted(columns)))
    wanted = rows.where(model.pk == func.any(bindparam("pks")))
    # Ordered, so that two requests never wait for each other crosswise.
    return wanted.order_by(model.pk).with_for_update(key_share=True, read=True)


def _in_object(schema: Schema, body: Any, path: Path) -> Iterator[Reference]:
    if isinstance(body, dict):
        for name, known in schema.load_fields.items():
            if name in body:
                yield from _in_value(known, body[name], (*path, name))


def _in_value(known: Field[Any], value: Any, path: Path) -> Iterator[Reference]:
    if isinstance(known, Many):
        for index, member in enumerate(_members(known, value)):
            yield from _in_value(known.inner, member, (*path, index))
    elif isinstance(known, Nested) and isinstance(value, dict):
        claims = dict(_claims(known.schema, value, path))
        for reference in _in_object(known.schema, value, path):
            yield Reference(reference.path, reference.model, reference.pk, claims)
    elif isinstance(value, str) and CANONICAL_UUID.fullmatch(value) and (to := _target(known)):
        yield Reference(path, to, UUID(value))


def _members(known: Many, value: Any) -> list[Any]:
    """Return the members of a list, none if it is too long to be looked at."""
    return value if isinstance(value, list) and len(value) <= known.max else []


def _claims(schema: Schema, value: dict[str, Any], path: Path) -> Iterator[Any]:
    """Yield the read-only fields that a nested object repeats of the row that it refers to."""
    for name, known in schema.load_fields.items():
        # What is no text has its own complaint.
        if known.metadata.get("readOnly") and isinstance(value.get(name), str):
            column = (known.attribute or name).rpartition(".")[2]
            yield column, ((*path, name), value[name])


def _target(known: Field[Any]) -> type[Any] | None:
    """Return the model that a bare key refers to, in a key field or for a whole nested object."""
    key = known.schema.fields.get("pk") if isinstance(known, Nested) else known
    return key.to if isinstance(key, Pk) else None


def _repeated(schema: Schema, body: Any) -> Iterator[Entry]:
    """Yield a complaint for each member of a unique list whose key stands in it before."""
    for name, known in schema.load_fields.items():
        if isinstance(known, Many) and known.unique and isinstance(body, dict):
            seen: set[str] = set()
            for index, member in enumerate(_members(known, body.get(name))):
                key = member.get("pk") if isinstance(member, dict) else member
                if isinstance(key, str) and key.lower() in seen:
                    yield _entry((name, index), "duplicate", "It is given twice.")
                seen.add(str(key).lower())
