"""The example apothecary: a shop's worth of rows with fixed keys, and how they are loaded."""

import json
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, NullPool, create_engine, select
from sqlalchemy.dialects.postgresql import insert

from alchemist.audit.models import AuditEntry
from alchemist.db import Base
from alchemist.heroes.models import Hero
from alchemist.ingredients.models import Ingredient
from alchemist.potions.models import Potion, PotionIngredient
from alchemist.users.models import Token, User

BATCH = 10

Row = dict[str, Any]


class Kind(NamedTuple):
    """Where the rows of one file go, and the lines that hang on each; `user_id` owns owned ones."""

    model: type[Base]
    line: type[Base] | None = None
    lines: Callable[[Row], Iterable[Row]] = lambda _row: ()
    is_owned: bool = False


def _recipe(potion: Row) -> Iterator[Row]:
    for position, line in enumerate(potion["ingredients"]):
        place = {"potion_id": potion["pk"], "ingredient_id": line["pk"], "position": position}
        yield {**place, "amount": line["amount"], "unit": line["unit"]}


# `<kind>.json` holds the rows as they are stored. A row may refer to any kind above its own.
KINDS = {
    "ingredients": Kind(Ingredient),
    "potions": Kind(Potion, PotionIngredient, _recipe),
    "users": Kind(User),
    "heroes": Kind(Hero, is_owned=True),
    # Of their secrets nobody knows any: the digests are random.
    "tokens": Kind(Token, is_owned=True),
    "audit_log": Kind(AuditEntry),
}


def rows(kind: str) -> list[Row]:
    """Return the examples of a kind, in the order of their keys."""
    file = resources.files(__name__) / f"{kind}.json"
    found: list[Row] = json.loads(file.read_text("utf-8"))
    return found


def pk(kind: str, name: str) -> str:
    """Return the key of the example of that name; raise KeyError if there is none."""
    return str({row["name"]: row["pk"] for row in rows(kind)}[name])


def load(url: URL, progress: Callable[[int, int], None]) -> dict[str, int]:
    """Add the examples that the migrated database lacks, and return how many of each kind.

    All or nothing, in one transaction. A row that is there stays as its users made it. Raises
    IntegrityError if an ingredient is deleted in the middle of it; calling again cures that.
    `progress` is called after every batch with the rows done and the rows in all.
    """
    # Nothing runs often enough to be worth preparing, and an old PgBouncer could not do it.
    connect = {"connect_timeout": 2, "prepare_threshold": None}
    engine = create_engine(url, poolclass=NullPool, connect_args=connect, hide_parameters=True)
    batches = list(_batches())
    added, done, total = dict.fromkeys(KINDS, 0), 0, sum(len(batch) for _, batch in batches)
    with engine.begin() as connection:
        for kind, batch in batches:
            added[kind] += _add(connection, KINDS[kind], batch)
            done += len(batch)
            progress(done, total)
    return added


def _batches() -> Iterator[tuple[str, list[Row]]]:
    for kind in KINDS:
        found = rows(kind)
        for start in range(0, len(found), BATCH):
            yield kind, found[start : start + BATCH]


def _add(connection: Connection, kind: Kind, batch: list[Row]) -> int:
    if kind.is_owned:
        batch = _with_owner(connection, batch)
    if not batch:
        return 0
    table = kind.model.__table__
    values = [{name: row[name] for name in table.columns.keys() & row.keys()} for row in batch]
    # Whatever the conflict is: a user of another key may have taken an e-mail or a nickname.
    statement = insert(kind.model).on_conflict_do_nothing()
    new = {str(key) for key in connection.scalars(statement.returning(table.c.pk), values)}
    # Only for new rows: the lines of an old one are as its users want them.
    lines = [line for row in batch if row["pk"] in new for line in kind.lines(row)]
    if kind.line and lines:
        connection.execute(insert(kind.line), lines)
    return len(new)


def _with_owner(connection: Connection, batch: list[Row]) -> list[Row]:
    """Return the rows of users who are there: not all come back where somebody has their e-mail."""
    owners = {row["user_id"] for row in batch} - {None}
    found = connection.scalars(select(User.pk).where(User.pk.in_(owners)))
    there = {None, *map(str, found)}
    return [row for row in batch if row["user_id"] in there]
