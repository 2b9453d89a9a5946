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
    """A SELECT that exists once per shape, and the values of this call."""

    select: Select[Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entity(self) -> type[Any]:
        found: type[Any] = self.select.column_descriptions[0]["entity"]
        return found


P = ParamSpec("P")


def cached_query(build: Callable[P, Select[Any]]) -> Callable[P, Query]:
    """Call `build` once for each set of given arguments, with bound parameters for values.

    An argument that is None counts as not given, so a filter is `if name is not None: …`. One that
    is true or false is no value: it decides the shape.
    Building a SELECT and its cache key costs more than running it, hence the detour.
    """
    names = signature(build)

    @cache
    def built(values: frozenset[str], choices: frozenset[tuple[str, bool]]) -> Select[Any]:
        return build(**{name: bindparam(name) for name in values}, **dict(choices))  # type: ignore[arg-type, call-arg]

    @wraps(build)
    def call(*args: P.args, **kwargs: P.kwargs) -> Query:
        arguments = names.bind(*args, **kwargs).arguments
        values, choices = {}, set()
        for name, value in arguments.items():
            if isinstance(value, bool):
                choices.add((name, value))
            elif value is not None:
                values[name] = value
        return Query(built(frozenset(values), frozenset(choices)), values)

    return call
