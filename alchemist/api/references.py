"""What a body says of other rows: whatever is not so is told with its pointer, all at once."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple
from unicodedata import normalize
from uuid import UUID

from marshmallow import Schema, ValidationError
from marshmallow.fields import Field, Nested
from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Select,
    String,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    union_all,
)

from alchemist import database as db
from alchemist import errors
from alchemist.errors import ErrorDetail

from .fields import List, NameReference, Pk
from .request import request

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Reference:
    """A key in a body, and what the body claims of the row that it names, by column."""

    path: Path
    known: Pk | NameReference
    key: UUID | str
    claims: dict[str, tuple[Path, str]] = field(default_factory=dict)

    @property
    def model(self) -> type[Any]:
        assert self.known.references is not None  # noqa: S101  or it would not be a reference
        return self.known.references

    @property
    def columns(self) -> set[str]:
        return {*self.claims, *(self.known.owner_check or ())[:1]}


class Target(NamedTuple):
    """Rows of one model, found by their keys or by their names."""

    model: Any
    name: Any


TargetColumns = tuple[Target, frozenset[str]]


def reference_errors(schema: Schema, body: Any) -> list[ErrorDetail]:
    """Return what is wrong with the references of `body`: one statement for all of them.

    A reference may lead nowhere, stand twice in a unique list, or come with a read-only field
    of its row that is another there. A row that goes meanwhile breaks a foreign key; the request
    is begun anew then, and told here.
    """
    references = [one for one in _walk_object(schema, body, ()) if _may_reveal(one)]
    return _unresolved(references) + list(_duplicates(schema, body))


def can_skip_lookup(schema: Schema, body: Any) -> bool:
    """Tell whether nothing stands twice, and rows are said to be there and nothing else."""
    is_more_asked = any(reference.columns for reference in _walk_object(schema, body, ()))
    return not is_more_asked and not any(_duplicates(schema, body))


def _unresolved(references: list[Reference]) -> list[ErrorDetail]:
    rows = _lookup(references) if references else {}
    found = [(one, rows.get((_target(one), str(one.key)))) for one in references]
    _check_owners(found)
    told = [_errors_for(*pair) for pair in found]
    return [entry for entries in told for entry in entries]


def pointer(path: Path) -> str:
    """Return the URI fragment form of a JSON pointer (RFC 6901 §6), its own escapes only."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "".join(["#", *(f"/{step}" for step in steps)])


def _may_reveal(reference: Reference) -> bool:
    """Tell whether the caller may learn if the row is there."""
    permission = reference.known.visible_to
    return permission is None or request.caller.owner_filter(permission) is None


def _check_owners(found: Iterable[tuple[Reference, dict[str, Any] | None]]) -> None:
    """Raise Forbidden where rows of others may not be made use of."""
    for reference, row in found:
        if row and reference.known.owner_check:
            column, permission = reference.known.owner_check
            if (owner := request.caller.owner_filter(permission)) and row[column] != str(owner):
                raise errors.Forbidden.missing_permission(f"{permission}:any")


def _errors_for(reference: Reference, row: dict[str, Any] | None) -> Iterator[ErrorDetail]:
    if row is None:
        detail = f"No {reference.model.__name__.lower()} {reference.key}."
        yield _error(reference.path, "unknown-reference", detail)
        return
    for column, (path, claim) in reference.claims.items():
        if normalize("NFC", claim).strip() != row[column]:
            yield _error(path, "read-only", "It is another, and cannot be changed here.")


def _error(path: Path, code: str, detail: str) -> ErrorDetail:
    return {"pointer": pointer(path), "code": code, "detail": detail}


def _target(reference: Reference) -> Target:
    known = reference.known
    name = known.column if isinstance(known, NameReference) else None
    return Target(reference.model, name)


def _lookup(references: Iterable[Reference]) -> dict[tuple[Target, str], dict[str, Any]]:
    """Return what is asked of the rows that there are, by target and key."""
    keys: dict[Target, set[UUID | str]] = {}
    columns: dict[Target, set[str]] = {}
    for reference in references:
        target = _target(reference)
        keys.setdefault(target, set()).add(reference.key)
        columns.setdefault(target, set()).update(reference.columns)
    wanted = tuple((target, frozenset(columns[target])) for target in keys)
    values = {f"keys_{number}": list(keys[target]) for number, target in enumerate(keys)}
    targets = list(keys)
    found = db.fetch_all(_lookup_statement(wanted), values)
    return {(targets[number], key): row for number, key, row in found}


@cache
def _lookup_statement(wanted: tuple[TargetColumns, ...]) -> CompoundSelect[Any]:
    """Return the statement that yields number, key and wanted columns of each row there is."""
    return union_all(*(_lookup_select(number, *one) for number, one in enumerate(wanted)))


def _lookup_select(number: int, target: Target, columns: frozenset[str]) -> Select[Any]:
    model = target.model
    pairs = [item for name in sorted(columns) for item in (name, getattr(model, name))]
    keys = func.unnest(_keys(number, target)).table_valued("key", name="wanted").render_derived()
    key = keys.c.key
    is_meant = model.pk == key if target.name is None else _iequals(target.name, key)
    return select(
        literal_column(str(number)).label("number"),
        cast(key, String).label("key"),
        func.json_build_object(*pairs).label("columns"),
    ).join_from(keys, model, is_meant)


def _keys(number: int, target: Target) -> BindParameter[Any]:
    return bindparam(f"keys_{number}", type_=ARRAY(String if target.name else Uuid))


def _iequals(column: ColumnElement[str], name: ColumnElement[str]) -> ColumnElement[bool]:
    return func.lower(column) == func.lower(name)


def _walk_object(schema: Schema, body: Any, path: Path) -> Iterator[Reference]:
    if isinstance(body, dict):
        for name, known in schema.load_fields.items():
            if name in body:
                yield from _walk_value(known, body[name], (*path, name))


def _walk_value(known: Field[Any], value: Any, path: Path) -> Iterator[Reference]:
    if isinstance(known, List):
        for index, member in enumerate(_members(known, value)):
            yield from _walk_value(known.inner, member, (*path, index))
    elif isinstance(known, Nested) and isinstance(value, dict):
        claims = dict(_repeated_values(known.schema, value, path))
        for reference in _walk_object(known.schema, value, path):
            yield Reference(reference.path, reference.known, reference.key, claims)
    elif (
        isinstance(value, str)
        and (named := _reference_field(known))
        and (key := _parse_key(named, value))
    ):
        yield Reference(path, named, key)


def _members(known: List, value: Any) -> list[Any]:
    """Return the members of a list, none if it is too long to be looked at."""
    return value if isinstance(value, list) and len(value) <= known.max else []


def _repeated_values(schema: Schema, value: dict[str, Any], path: Path) -> Iterator[Any]:
    """Yield the read-only fields that a nested object repeats of the row that it refers to."""
    for name, known in schema.load_fields.items():
        # What is no text has its own complaint.
        if known.metadata.get("readOnly") and isinstance(value.get(name), str):
            column = (known.attribute or name).rpartition(".")[2]
            yield column, ((*path, name), value[name])


def _reference_field(known: Field[Any]) -> Pk | NameReference | None:
    """Return the field that names a row: this one, or the key of a nested object's short form."""
    key = known.schema.fields.get("pk") if isinstance(known, Nested) else known
    return key if isinstance(key, Pk | NameReference) and key.references else None


def _parse_key(known: Pk | NameReference, value: str) -> UUID | str | None:
    """Return the key that the text stands for, None if the field rejects it."""
    with suppress(ValidationError):
        key: UUID | str = known.deserialize(value)
        return key
    return None


def _duplicates(schema: Schema, body: Any) -> Iterator[ErrorDetail]:
    """Yield a complaint for each member of a unique list whose key stands in it before."""
    for name, known in schema.load_fields.items():
        if isinstance(known, List) and known.unique_by and isinstance(body, dict):
            reference = _reference_field(known.inner)
            seen: set[str] = set()
            for index, member in enumerate(_members(known, body.get(name))):
                key = member.get(known.unique_by) if isinstance(member, dict) else member
                if isinstance(key, str):
                    parsed = _parse_key(reference, key) if reference else None
                    key = str(parsed or key).lower()
                    if key in seen:
                        yield _error((name, index), "duplicate", "It is given twice.")
                    seen.add(key)
