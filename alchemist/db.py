"""The session, the base that models share, queries built once, and the verbs on rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

from flask import Flask, current_app
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Executable,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    bindparam,
    func,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    declared_attr,
    mapped_column,
    scoped_session,
    sessionmaker,
)
from uuid_utils.compat import uuid7

from alchemist import driver, engines, errors
from alchemist.config import Settings

if TYPE_CHECKING:
    from alembic.config import Config

ROOT = Path(__file__).parent.parent

# One registry for every write; `fetch` decides which reads share its transaction.
session = scoped_session(sessionmaker(expire_on_commit=False))


class Base(DeclarativeBase):
    type_annotation_map = {str: Text, datetime: DateTime(timezone=True)}
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )


def table(model: type[Base]) -> Table:
    """Return what a model is mapped to, for statements that need no objects."""
    return Base.metadata.tables[model.__tablename__]


class Versioned:
    """A row with a key in creation order, its two instants, and a counter of its writes."""

    pk: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=1)
    # The clock and not now(): a writer that waited for a lock began before the one it waited for.
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), onupdate=func.clock_timestamp(), sort_order=1
    )
    version: Mapped[int] = mapped_column(server_default=text("1"), sort_order=1)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, object]:
        return {"version_id_col": cls.version, "eager_defaults": True}


def words(*columns: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the text-search vector of some columns, as an index and its queries must spell it.

    Constants are text: a bound parameter would keep a generic plan from using the index.
    """
    first, *others = (func.coalesce(column, text("''")) for column in columns)
    vector: ColumnElement[Any] = first
    for other in others:
        vector = vector.op("||")(text("' '")).op("||")(other)
    return func.to_tsvector(text("'simple'::regconfig"), vector)


@dataclass(frozen=True)
class Query:
    """A SELECT that exists once per shape, and the values of this call."""

    select: Select[Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entity(self) -> type[Any]:
        found: type[Any] = self.select.column_descriptions[0]["entity"]
        return found


Parameters = Mapping[str, Any] | None
P = ParamSpec("P")


def query(build: Callable[P, Select[Any]]) -> Callable[P, Query]:
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


def transaction() -> AbstractContextManager[Connection]:
    """Return a connection for a write beside the request's own: committed when the block ends."""
    engine: Engine = current_app.extensions["transaction_engine"]
    return engine.begin()


def fetch(statement: Executable, parameters: Parameters = None) -> Row[Any] | None:
    """Return the first row of a statement, or None."""
    rows = fetch_all(statement, parameters)
    return rows[0] if rows else None


def fetch_all(statement: Executable, parameters: Parameters = None) -> Sequence[Row[Any]]:
    """Return the rows of a statement.

    The one place that chooses: a request that has begun a transaction reads in it and so sees
    itself; every other statement is a transaction of its own, and nothing is held.
    """
    if is_in_transaction():
        return session.execute(statement, parameters).all()
    return alone(statement, parameters)


def is_in_transaction() -> bool:
    """Tell whether the request has begun one; without, each statement is its own."""
    return session.registry.has() and bool(session().in_transaction())


def alone(statement: Executable, parameters: Parameters = None) -> Sequence[Row[Any]]:
    """Return the rows of a statement that is a transaction of its own whatever else is begun."""
    engine: Engine = current_app.extensions["autocommit_engine"]
    try:
        return driver.run(engine, statement, parameters or {})
    except DBAPIError as error:
        # A connection that died in its pool, or is as good as dead. The others went with it.
        if not error.connection_invalidated:
            raise
        return driver.run(engine, statement, parameters or {})


Entity = TypeVar("Entity", bound=Base)


def add(row: Entity) -> Entity:
    session.add(row)
    session.flush()
    return row


def lock(query: Query) -> Any:
    """Return a row that nobody else may change until this transaction ends; raise NotFound.

    NO KEY: whoever merely refers to the row (a foreign key check) does not wait.
    """
    found = session.scalars(
        query.select.with_for_update(key_share=True, of=query.entity),
        query.parameters,
        execution_options={"populate_existing": True},
    ).one_or_none()
    if found is None:
        raise errors.NotFound(f"{query.entity.__name__} does not exist")
    return found


def change(row: Entity, values: Mapping[str, Any]) -> Entity:
    for name, value in values.items():
        setattr(row, name, value)
    session.flush()
    return row


def touch(row: Versioned, *names: str) -> None:
    """Make what hangs on a row a change of the row; `names` say what it was."""
    row.updated_at = func.clock_timestamp()
    row.__dict__["_touched"] = touched(row) | set(names)


def touched(row: object) -> set[str]:
    """Return what `touch` was told of the row."""
    found: set[str] = row.__dict__.get("_touched", set())
    return found


def note(action: str, model: type[Base], pk: UUID, *names: str) -> None:
    """Tell the audit log of what a statement did to a row without the help of the session."""
    change = (action, model.__tablename__, pk, sorted(names))
    savepoint = session().get_nested_transaction()
    session.info.setdefault("notes", []).append((savepoint, change))


@contextmanager
def undone() -> Iterator[None]:
    """Undo whatever is written inside."""
    savepoint = session.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def remove(row: Base) -> None:
    session.delete(row)
    session.flush()


def alembic_config(url: URL) -> "Config":
    """Return what alembic's commands need to work on the database at `url`."""
    from alembic.config import Config  # noqa: PLC0415  slow, and the service itself needs none

    return Config(ROOT / "alembic.ini", attributes={"url": url})


def init_app(app: Flask, settings: Settings) -> None:
    transactions, autocommit = engines.make(settings)
    session.configure(bind=transactions)
    app.extensions["transaction_engine"] = transactions
    app.extensions["autocommit_engine"] = autocommit
    app.teardown_appcontext(lambda _error: session.remove())
