"""Looks up the rows that references name, all of them in one statement."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple
from unicodedata import normalize
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BindParameter,
    CompoundSelect,
    Select,
    String,
    Uuid,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    union_all,
)

from alchemist import database as db
from alchemist.errors import ErrorDetail

from .references import Reference, Target, reference_error


class Lookup(NamedTuple):
    """Rows to find, by target: the keys, and the columns whose values are needed."""

    keys: dict[Target, set[UUID | str]]
    columns: dict[Target, set[str]]

    @property
    def shape(self) -> "LookupShape":
        return tuple((target, frozenset(self.columns[target])) for target in self.keys)

    @property
    def parameters(self) -> dict[str, Any]:
        return {f"keys_{number}": list(keys) for number, keys in enumerate(self.keys.values())}


LookupShape = tuple[tuple[Target, frozenset[str]], ...]


def look_up_reference_errors(references: Sequence[Reference]) -> list[ErrorDetail]:
    """Look up all references in one statement, and return what is wrong with them.

    A row does not exist, or one of its read-only values is another than the body repeats.
    """
    if not references:
        return []
    lookup = build_lookup(references)
    rows = db.fetch_all(lookup_statement(lookup.shape), lookup.parameters)
    targets = list(lookup.keys)
    columns = {(targets[number], key): values for number, key, values in rows}
    return [
        error
        for reference in references
        for error in _missing_row_or_changed_value_errors(
            reference, columns[reference.target, str(reference.lookup_key)]
        )
    ]


def look_up_unchecked_reference_errors(references: Sequence[Reference]) -> list[ErrorDetail]:
    """Return the errors of all references, or none if the service will find every one of them."""
    unchecked = [each for each in references if not each.checked_by_service]
    return look_up_reference_errors(references) if look_up_reference_errors(unchecked) else []


def unknown_references(
    references: Iterable[Reference], lookup: Lookup, rows: Sequence[Sequence[Any]]
) -> list[Reference]:
    """Return the references whose number and key are among the `rows` that were not found."""
    targets = list(lookup.keys)
    unknown = {(targets[number], key) for number, key, *_ in rows}
    return [each for each in references if (each.target, str(each.lookup_key)) in unknown]


def build_lookup(references: Iterable[Reference]) -> Lookup:
    lookup = Lookup({}, {})
    for reference in references:
        lookup.keys.setdefault(reference.target, set()).add(reference.lookup_key)
        lookup.columns.setdefault(reference.target, set()).update(reference.repeated_values)
    return lookup


@cache
def lookup_statement(shape: LookupShape) -> CompoundSelect[Any]:
    """Return the SELECT of number, key and needed columns of each key; of no row, NULL."""
    return union_all(*(_lookup_select(number, *part) for number, part in enumerate(shape)))


def _lookup_select(number: int, target: Target, columns: frozenset[str]) -> Select[Any]:
    model = target.model
    pairs = [item for name in sorted(columns) for item in (name, getattr(model, name))]
    keys = (
        func.unnest(_keys_parameter(number, target))
        .table_valued("key", name="keys")
        .render_derived()
    )
    key = keys.c.key
    column = model.pk if target.name_column is None else target.name_column
    return select(
        literal_column(str(number)).label("number"),
        cast(key, String).label("key"),
        case((model.pk.is_not(None), func.json_build_object(*pairs))).label("columns"),
    ).join_from(keys, model, column == key, isouter=True)


def _keys_parameter(number: int, target: Target) -> BindParameter[Any]:
    kind = Uuid() if target.name_column is None else String()
    return bindparam(f"keys_{number}", type_=ARRAY(kind))


def _missing_row_or_changed_value_errors(
    reference: Reference, row: dict[str, Any] | None
) -> Iterator[ErrorDetail]:
    if row is None:
        yield reference.error
        return
    for column, (path, value) in reference.repeated_values.items():
        # NFC takes quadratic time, and never makes a text shorter than a quarter.
        is_long = len(value) > 4 * len(row[column]) + 100
        if is_long or db.trim_invisible(normalize("NFC", value)) != row[column]:
            yield reference_error(path, "read-only", "It is another, and cannot be changed here.")
