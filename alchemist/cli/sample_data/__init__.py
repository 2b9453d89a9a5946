"""The example apothecary: a shop's worth of rows with fixed keys, and how they are loaded."""

import json
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, NullPool, Table, create_engine, select
from sqlalchemy.dialects.postgresql import insert

from alchemist.database import Base, table
from alchemist.domains.audit.models import AuditEntry
from alchemist.domains.coupons.models import Coupon, Redemption
from alchemist.domains.heroes.models import Hero
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.orders.models import Order, OrderItem
from alchemist.domains.potions.models import Potion, PotionIngredient
from alchemist.domains.products.models import Product
from alchemist.domains.stores.models import Store
from alchemist.domains.users.models import Token, User

BATCH = 10

Row = dict[str, Any]
# The table of a row, and its key.
Reference = tuple[Table, str]


class SampleTable(NamedTuple):
    """Where the rows of one file go, and the lines that hang on each.

    `later` are the rows of kinds below without which a row is not complete.
    """

    model: type[Base]
    line: type[Base] | None = None
    lines: Callable[[Row], Iterable[Row]] = lambda _row: ()
    later: Callable[[Row], Iterable[tuple["SampleTable", Row]]] = lambda _row: ()


def _recipe(potion: Row) -> Iterator[Row]:
    for position, line in enumerate(potion["ingredients"]):
        place = {"potion_id": potion["pk"], "ingredient_id": line["pk"], "position": position}
        yield {**place, "amount": line["amount"], "unit": line["unit"]}


def _redemptions(coupon: Row) -> Iterator[Row]:
    for redemption in coupon["redemptions"]:
        yield {**redemption, "coupon_id": coupon["pk"]}


def _items(order: Row) -> Iterator[Row]:
    for position, item in enumerate(order["items"]):
        yield {"order_id": order["pk"], "position": position, **_columns_of(OrderItem, item)}


def _redeemed_for(coupon: Row) -> Iterator[tuple[SampleTable, Row]]:
    """Yield the orders that a coupon was used for: its counter is right with all of them only."""
    redeemed = {redemption["order_id"] for redemption in coupon["redemptions"]}
    for order in rows("orders"):
        if order["pk"] in redeemed:
            yield SAMPLE_TABLES["orders"], order


# `<kind>.json` holds the rows as they are stored. A row may refer to any kind above its own.
SAMPLE_TABLES = {
    "ingredients": SampleTable(Ingredient),
    "potions": SampleTable(Potion, PotionIngredient, _recipe),
    "users": SampleTable(User),
    "heroes": SampleTable(Hero),
    # Of their secrets nobody knows any: the digests are random.
    "tokens": SampleTable(Token),
    "stores": SampleTable(Store),
    "products": SampleTable(Product),
    "coupons": SampleTable(Coupon, Redemption, _redemptions, _redeemed_for),
    "orders": SampleTable(Order, OrderItem, _items),
    "audit_log": SampleTable(AuditEntry),
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

    All or nothing, in one transaction. A row that is there stays as its users made it, and what
    refers to one that is not there is left out. Raises IntegrityError if an ingredient is deleted
    in the middle of it; calling again cures that.
    `progress` is called after every batch with the rows done and the rows in all.
    """
    # Nothing runs often enough to be worth preparing, and an old PgBouncer could not do it.
    connect = {"connect_timeout": 2, "prepare_threshold": None}
    engine = create_engine(url, poolclass=NullPool, connect_args=connect, hide_parameters=True)
    batches = list(_batches())
    added, done, total = dict.fromkeys(SAMPLE_TABLES, 0), 0, sum(len(batch) for _, batch in batches)
    with engine.begin() as connection:
        for kind, batch in batches:
            added[kind] += _add(connection, SAMPLE_TABLES[kind], batch)
            done += len(batch)
            progress(done, total)
    return added


def _batches() -> Iterator[tuple[str, list[Row]]]:
    for kind in SAMPLE_TABLES:
        found = rows(kind)
        for start in range(0, len(found), BATCH):
            yield kind, found[start : start + BATCH]


def _add(connection: Connection, kind: SampleTable, batch: list[Row]) -> int:
    batch = _without_dangling(connection, kind, batch)
    if not batch:
        return 0
    values = [_columns_of(kind.model, row) for row in batch]
    # Whatever the conflict is: a user of another key may have taken an e-mail or a nickname.
    statement = insert(kind.model).on_conflict_do_nothing()
    added = connection.scalars(statement.returning(table(kind.model).c.pk), values)
    new = {str(key) for key in added}
    # Only for new rows: the lines of an old one are as its users want them.
    lines = [line for row in batch if row["pk"] in new for line in kind.lines(row)]
    if kind.line and lines:
        connection.execute(insert(kind.line), lines)
    return len(new)


def _columns_of(model: type[Base], row: Row) -> Row:
    """Return what of a row is stored with it, without its lines and what is told for readers."""
    return {name: row[name] for name in table(model).columns.keys() & row.keys()}


def _without_dangling(connection: Connection, kind: SampleTable, batch: list[Row]) -> list[Row]:
    """Return the rows that refer to nothing that is missing.

    Not every user is an example where somebody has their e-mail; what those own, and what was
    ordered there, is then left out.
    """
    wanted = {row["pk"]: set(_references(kind, row)) for row in batch}
    there: set[Reference] = set()
    for target in {target for references in wanted.values() for target, _ in references}:
        keys = {
            key for references in wanted.values() for other, key in references if other is target
        }
        found = connection.scalars(select(target.c.pk).where(target.c.pk.in_(keys)))
        there |= {(target, str(key)) for key in found}
    return [row for row in batch if wanted[row["pk"]] <= there]


def _references(kind: SampleTable, row: Row) -> Iterator[Reference]:
    """Yield what must be there before a row is added with all that belongs to it."""
    together = {table(model) for model in (kind.model, kind.line) if model}
    needed = [*_targets(kind.model, row)]
    for line in kind.lines(row):
        needed += _targets(kind.line, line) if kind.line else ()
    for other, later in kind.later(row):
        needed += _references(other, later)
    yield from (reference for reference in needed if reference[0] not in together)


def _targets(model: type[Base], row: Row) -> Iterator[Reference]:
    for reference in table(model).foreign_keys:
        if (key := row.get(reference.parent.name)) is not None:
            yield reference.column.table, key
