"""Columns whose values Python derives from other columns of the same row."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Column, String, Table, event
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import InstanceState, MappedColumn, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from .text_keys import MAX_FOLDED_LENGTH, MAX_SORT_KEY_SIZE, fold, sort_key
from .text_search import search_vector_of


class FoldedText(TypeDecorator[str]):
    """Text that `fold` has made; a value that is compared with it is folded first."""

    # By code point: the collation of the database may compare several texts as equal.
    impl = String(MAX_FOLDED_LENGTH, collation="C")
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else fold(value)


def derived_column(
    type_: TypeEngine[Any], derive: Callable[..., Any], *sources: str
) -> MappedColumn[Any]:
    """Return a column that is `derive(*sources)` in each row that this code inserts or updates.

    The ORM does not load it with the row. It is in no representation and not in the audit log.
    """

    def default(context: DefaultExecutionContext) -> Any:
        values = context.get_current_parameters()  # type: ignore[no-untyped-call]
        return _derive_or_empty(derive, [values.get(source) for source in sources])

    # The server's default is for rows that are inserted without this code, and for the migration.
    return mapped_column(
        type_,
        default=default,
        server_default="",
        deferred=True,
        info={"derived": (derive, sources)},
    )


def _derive_or_empty(derive: Callable[..., Any], values: list[Any]) -> Any:
    """Return the derived value; the constraints of the sources decide whether all may be NULL."""
    return "" if values.count(None) == len(values) else derive(*values)


def folded(source: str) -> MappedColumn[str]:
    """Return the column for comparisons and uniqueness of a text column without case."""
    return derived_column(FoldedText(), fold, source)


def sortable(source: str) -> MappedColumn[str]:
    """Return the column that a list is sorted by for a text column: see `sort_column`."""
    type_ = String(MAX_SORT_KEY_SIZE, collation="C")
    return derived_column(type_, sort_key, source)


def searchable(*sources: str) -> MappedColumn[str]:
    """Return the column with the words of text columns, for `matches_words`."""
    return derived_column(TSVECTOR(), search_vector_of, *sources)


def sort_column(table: Table, name: str) -> Column[Any]:
    """Return the column to sort by for a column of the table: its sort key, or itself."""
    return next((c for c in table.c if c.info.get("derived") == (sort_key, (name,))), table.c[name])


def is_derived(column: Column[Any]) -> bool:
    return "derived" in column.info


def derivation_sources(column: Column[Any]) -> tuple[str, ...]:
    """Return the names of the columns that a derived column is made from."""
    sources: tuple[str, ...] = column.info["derived"][1]
    return sources


def derived_value(column: Column[Any], values: Mapping[str, Any]) -> Any:
    """Return the value of a derived column in a row with these values."""
    derive, sources = column.info["derived"]
    return _derive_or_empty(derive, [values.get(source) for source in sources])


def derive_on_assignment(model: Any) -> None:
    """Set the derived columns of stored rows of `model` from now on; new rows have the default."""
    for column in filter(is_derived, model.__table__.c):
        _, sources = column.info["derived"]
        for source in sources:
            setter = _derived_column_setter(column, source)
            # With these options SQLAlchemy calls the setter itself, and no wrapper of it.
            options = {"raw": True, "retval": True, "include_key": True}
            event.listen(getattr(model, source), "set", setter, **options)


def _derived_column_setter(column: Column[Any], source: str) -> Callable[..., Any]:
    derive, sources = column.info["derived"]

    def set_derived(
        state: InstanceState[Any], value: Any, old_value: Any, _initiator: object, **_key: Any
    ) -> Any:
        # The old derived value is not loaded. Setting an equal one would be an UPDATE.
        if state.has_identity and value != old_value:
            row: Any = state.obj()
            values = [value if name == source else getattr(row, name) for name in sources]
            setattr(row, column.name, _derive_or_empty(derive, values))
        return value

    return set_derived
