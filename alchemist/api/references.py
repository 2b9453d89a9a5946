"""References in a body to other rows: which rows they name, and which are there twice."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from marshmallow import Schema, ValidationError
from marshmallow.fields import Field, Nested

from alchemist import database as db
from alchemist.api.fields import List, NameReference, Pk
from alchemist.errors import ErrorDetail

Path = tuple[str | int, ...]
# Whether the caller of this request may learn that a row with this key exists.
Visibility = Callable[[UUID | str], bool]


class Target(NamedTuple):
    """Rows of one model, found by their keys or by the names in a column."""

    model: Any
    name_column: Any


@dataclass(frozen=True)
class Reference:
    """A key in a body, and the read-only values of its row that the body repeats, by column.

    The service finds out by itself that there is no such row if it is `checked_by_service`.
    """

    path: Path
    target: Target
    key: UUID | str
    checked_by_service: bool = False
    repeated_values: dict[str, tuple[Path, str]] = dataclasses.field(default_factory=dict)

    @property
    def lookup_key(self) -> UUID | str:
        """The key as the column has it."""
        return self.key if self.target.name_column is None else db.fold(str(self.key))

    @property
    def error(self) -> ErrorDetail:
        """The error of a reference whose row does not exist."""
        detail = f"No {self.target.model.__name__.lower()} {self.key}."
        return reference_error(self.path, "unknown-reference", detail)


def restrict_lookup(model: type[Any], is_visible: Visibility) -> None:
    """Let only those callers learn whether a row of `model` exists for whom `is_visible` is true.

    For the others the lookup leaves its references out, and the foreign key decides.
    """
    _restrictions[model] = is_visible


_restrictions: dict[type[Any], Visibility] = {}


def find_references(schema: Schema, body: Any, path: Path = ()) -> list[Reference]:
    """Return the references in `body`, which is at `path` of the body of the request."""
    return list(_references_in_object(schema, body, path))


def find_visible_references(schema: Schema, body: Any, path: Path = ()) -> list[Reference]:
    """Return the references in `body` that the caller may look up."""
    return [
        reference for reference in find_references(schema, body, path) if _is_visible(reference)
    ]


def _is_visible(reference: Reference) -> bool:
    is_visible = _restrictions.get(reference.target.model)
    return is_visible is None or is_visible(reference.key)


def json_pointer(path: Path) -> str:
    """Return the URI fragment form of a JSON pointer (RFC 6901 §6), its own escapes only."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "".join(["#", *(f"/{step}" for step in steps)])


def reference_error(path: Path, code: str, detail: str) -> ErrorDetail:
    return {"pointer": json_pointer(path), "code": code, "detail": detail}


def _references_in_object(schema: Schema, body: Any, path: Path) -> Iterator[Reference]:
    if isinstance(body, dict):
        for name, field in schema.load_fields.items():
            if name in body:
                yield from _references_in_value(field, body[name], (*path, name))


def _references_in_value(field: Field[Any], value: Any, path: Path) -> Iterator[Reference]:
    if isinstance(field, List):
        for index, item in enumerate(_items_unless_too_long(field, value)):
            yield from _references_in_value(field.inner, item, (*path, index))
    elif isinstance(field, Nested) and isinstance(value, dict):
        repeated = dict(_repeated_read_only_values(field.schema, value, path))
        for reference in _references_in_object(field.schema, value, path):
            yield replace(reference, repeated_values=repeated)
    elif (
        isinstance(value, str)
        and (named := _reference_field(field))
        and (key := _parse_key_or_none(named, value))
    ):
        target = Target(named.references, getattr(named, "column", None))
        yield Reference(path, target, key, getattr(named, "checked_by_service", False))


def _items_unless_too_long(field: List, value: Any) -> list[Any]:
    """Return the items of a list, none if it is too long to be looked at."""
    return value if isinstance(value, list) and len(value) <= field.max else []


def _repeated_read_only_values(schema: Schema, value: dict[str, Any], path: Path) -> Iterator[Any]:
    """Yield the read-only fields that a nested object repeats of the row that it refers to."""
    for name, field in schema.load_fields.items():
        # The schema reports a value that is no text.
        if field.metadata.get("readOnly") and isinstance(value.get(name), str):
            column = (field.attribute or name).rpartition(".")[2]
            yield column, ((*path, name), value[name])


def _reference_field(field: Field[Any]) -> Pk | NameReference | None:
    """Return the field that names a row: this one, or the key in a nested object's shorthand."""
    key = field.schema.fields.get("pk") if isinstance(field, Nested) else field
    return key if isinstance(key, Pk | NameReference) and key.references else None


def _parse_key_or_none(field: Pk | NameReference, value: str) -> UUID | str | None:
    """Return the key in the text, or None if it is not valid: the schema reports that."""
    try:
        key: UUID | str = field.deserialize(value)
    except ValidationError:
        return None
    return key


def duplicate_errors(schema: Schema, body: Any, path: Path = ()) -> Iterator[ErrorDetail]:
    """Yield an error for each item of a unique list whose key is in the list before it."""
    for name, field, reference in _unique_lists(schema) if isinstance(body, dict) else ():
        items = _items_unless_too_long(field, body.get(name))
        keys = [_unique_key(field, reference, item) for item in items]
        if len(set(keys)) == len(keys):
            continue
        seen: set[UUID | str | None] = set()
        for index, key in enumerate(keys):
            if key in seen and key is not None:
                yield reference_error((*path, name, index), "duplicate", "It is given twice.")
            seen.add(key)


@lru_cache(maxsize=500)
def _unique_lists(schema: Schema) -> list[tuple[str, List, Pk | NameReference | None]]:
    """Return the members that are lists of distinct items, their fields, and those of the keys."""
    return [
        (name, field, _reference_field(field.inner))
        for name, field in schema.load_fields.items()
        if isinstance(field, List) and field.unique_by
    ]


def _unique_key(field: List, reference: Pk | NameReference | None, item: Any) -> UUID | str | None:
    """Return what distinguishes an item of a unique list, None if it is no text."""
    key = item.get(field.unique_by) if isinstance(item, dict) else item
    if not isinstance(key, str):
        return None
    parsed = _parse_key_or_none(reference, key) if reference else None
    return parsed if isinstance(parsed, UUID) else str(parsed or key).lower()
