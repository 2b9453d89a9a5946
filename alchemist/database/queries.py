"""SELECT statements that are built once for each combination of arguments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, wraps
from inspect import signature
from typing import Any, ParamSpec

from sqlalchemy import Select, bindparam

Parameters = Mapping[str, Any] | None


@dataclass(frozen=True)
class Query:
    """A shared SELECT with bound parameters, and the values of one call."""

    select: Select[Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> type[Any]:
        """The model whose rows it selects."""
        entity: type[Any] = self.select.column_descriptions[0]["entity"]
        return entity


P = ParamSpec("P")


def cached_query(build: Callable[P, Select[Any]]) -> Callable[P, Query]:
    """Decorate a function that builds a SELECT, so that it runs once for each set of arguments.

    `build` gets a bound parameter in place of each value. None means “not passed”, so a filter is
    `if name is not None: …`. A boolean is passed as it is: it decides the shape of the statement.
    """
    # Building a SELECT and its cache key costs more than running it.
    build_signature = signature(build)

    @cache
    def build_cached(names: frozenset[str], flags: frozenset[tuple[str, bool]]) -> Select[Any]:
        return build(**{name: bindparam(name) for name in names}, **dict(flags))  # type: ignore[arg-type, call-arg]

    @wraps(build)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Query:
        arguments = build_signature.bind(*args, **kwargs).arguments
        values, flags = {}, set()
        for name, value in arguments.items():
            if isinstance(value, bool):
                flags.add((name, value))
            elif value is not None:
                values[name] = value
        return Query(build_cached(frozenset(values), frozenset(flags)), values)

    return wrapper
