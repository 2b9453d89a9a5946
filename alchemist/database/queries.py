"""SELECT statements that are built once for each combination of arguments."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, wraps
from inspect import Parameter, Signature, signature
from typing import Any, ParamSpec, cast
from uuid import UUID

from sqlalchemy import ARRAY, BindParameter, Select, Uuid, any_, bindparam, func, select
from sqlalchemy.sql.visitors import replacement_traverse

from .text_search import matches_words

Parameters = Mapping[str, Any] | None


@dataclass(frozen=True)
class Query:
    """A shared SELECT with bound parameters, and the values of one call.

    A query of rows that the caller may change can have a `readable` query, of those that the caller
    may read. To change one of the latter, the caller needs the `permission`.
    """

    select: Select[Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    readable: "Query | None" = None
    permission: str = ""

    def with_parameters(self, parameters: Mapping[str, Any]) -> "Query":
        """Return this query with the values of further bound parameters."""
        return replace(self, parameters={**self.parameters, **parameters})

    def restricted_to(self, only_pks: list[UUID] | None, updated_after: datetime | None) -> "Query":
        """Return this query, restricted to some keys and to rows that changed since then."""
        values = {"only_pks": only_pks, "updated_after": updated_after}
        parameters = {name: value for name, value in values.items() if value is not None}
        if not parameters:
            return self
        restricted = replace(self, select=_with_row_filters(self.select, frozenset(parameters)))
        return restricted.with_parameters(parameters)

    def or_forbidden_if_in(self, readable: "Query", permission: str) -> "Query":
        """Return this query with its `readable` query and `permission`."""
        return replace(self, readable=readable, permission=permission)

    def for_several(self, pks: Sequence[UUID]) -> "Query":
        """Return the query of the rows with these keys, from that of one row with a `pk`."""
        others = {name: value for name, value in self.parameters.items() if name != "pk"}
        return replace(self, select=_select_several(self.select), parameters=others | {"pks": pks})

    @property
    def model(self) -> type[Any]:
        """The model whose rows it selects."""
        entity: type[Any] = self.select.column_descriptions[0]["entity"]
        return entity


@cache
def _with_row_filters(query: Select[Any], names: frozenset[str]) -> Select[Any]:
    model = query.column_descriptions[0]["entity"]
    if "only_pks" in names:
        query = query.where(model.pk == any_(bindparam("only_pks", type_=ARRAY(Uuid))))
    if "updated_after" in names:
        query = query.where(model.updated_at >= bindparam("updated_after"))
    return query


@cache
def _select_several(select_one: Select[Any]) -> Select[Any]:
    def replace_pk(element: Any, **_options: Any) -> Any:
        is_pk = isinstance(element, BindParameter) and element.key == "pk"
        return func.any(bindparam("pks", type_=ARRAY(Uuid()))) if is_pk else None

    return cast(Select[Any], replacement_traverse(select_one, {}, replace_pk))


def select_where(model: type[Any], *, q: Any = None, **values: Any) -> Select[Any]:
    """Return the SELECT of the rows whose columns equal the values that are not None.

    With `q`, the rows contain all of its words.
    """
    conditions = [
        getattr(model, name) == value for name, value in values.items() if value is not None
    ]
    if q is not None:
        conditions.append(matches_words(model.search_words, q))
    return select(model).where(*conditions)


P = ParamSpec("P")


def cached_query(build: Callable[P, Select[Any]]) -> Callable[P, Query]:
    """Decorate a function that builds a SELECT, so that it runs once for each set of arguments.

    None means "not given", so a filter is `if name is not None: …`. Booleans are compiled into the
    statement instead of being bound. Building a SELECT and its cache key costs more than running
    it. Raises TypeError, at the start of the service, for a SELECT that cannot become
    an item or a page.
    """
    arguments = signature(build)
    names = list(arguments.parameters)

    @cache
    def build_cached(values: frozenset[str], flags: frozenset[tuple[str, bool]]) -> Select[Any]:
        return _check_clauses_are_supported(
            build(**{name: bindparam(name) for name in values}, **dict(flags))  # type: ignore[arg-type, call-arg]
        )

    @wraps(build)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Query:
        values, flags = {}, set()
        for name, value in (*zip(names, args, strict=False), *kwargs.items()):
            if isinstance(value, bool):
                flags.add((name, value))
            elif value is not None:
                values[name] = value
        return Query(build_cached(frozenset(values), frozenset(flags)), values)

    def build_smallest_and_largest() -> None:
        for parameters in (_required_parameter_names(arguments), arguments.parameters):
            flags = {(name, True) for name in parameters if _is_boolean(arguments.parameters[name])}
            values = set(parameters) - {name for name, _ in flags}
            build_cached(frozenset(values), frozenset(flags))

    _checks.append(build_smallest_and_largest)
    return wrapper


_checks: list[Callable[[], None]] = []


def check_queries() -> None:
    """Build every cached query without and with all filters; raise TypeError as they would."""
    for check in _checks:
        check()


def _required_parameter_names(arguments: Signature) -> list[str]:
    return [name for name, each in arguments.parameters.items() if each.default is each.empty]


def _is_boolean(parameter: Parameter) -> bool:
    return "bool" in str(parameter.annotation)


def _check_clauses_are_supported(query: Select[Any]) -> Select[Any]:
    """Return the SELECT; raise TypeError for clauses that an item or a page would drop."""
    clauses = {
        "DISTINCT": query._distinct,
        "GROUP BY": query._group_by_clauses,
        "HAVING": query._having_criteria,
        "ORDER BY": query._order_by_clauses,
        "LIMIT": query._limit_clause is not None or query._fetch_clause is not None,
        "OFFSET": query._offset_clause is not None,
    }
    if unsupported := [name for name, clause in clauses.items() if clause]:
        raise TypeError(f"A query of rows has no {unsupported[0]}: restrict it with WHERE.")
    return query
