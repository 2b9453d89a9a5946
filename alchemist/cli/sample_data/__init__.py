"""Sample data of an example shop: rows with fixed primary keys, and their loader."""

import json
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, Table, select
from sqlalchemy.dialects.postgresql import insert

from alchemist.database import Base, create_unpooled_engine, table
from alchemist.domains.audit.models import AuditEntry
from alchemist.domains.coupons.models import Coupon, Redemption
from alchemist.domains.heroes.models import Hero
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.orders.models import Order, OrderItem
from alchemist.domains.potions.models import Potion, PotionIngredient
from alchemist.domains.products.models import Product
from alchemist.domains.stores.models import Store
from alchemist.domains.users.models import Token, User

BATCH_SIZE = 10

Row = dict[str, Any]
Progress = Callable[[int, int], None]
# A table and the primary key of one of its rows.
Reference = tuple[Table, str]


class SampleTable(NamedTuple):
    """The model of the rows of one file, and the model of their child rows.

    `dependents` returns rows of later tables without which a row would be inconsistent.
    """

    model: type[Base]
    child_model: type[Base] | None = None
    children: Callable[[Row], Iterable[Row]] = lambda _row: ()
    dependents: Callable[[Row], Iterable[tuple["SampleTable", Row]]] = lambda _row: ()


def _potion_ingredients(potion: Row) -> Iterator[Row]:
    for position, item in enumerate(potion["ingredients"]):
        keys = {"potion_id": potion["pk"], "ingredient_id": item["pk"], "position": position}
        yield {**keys, "amount": item["amount"], "unit": item["unit"]}


def _redemptions(coupon: Row) -> Iterator[Row]:
    for redemption in coupon["redemptions"]:
        yield {**redemption, "coupon_id": coupon["pk"]}


def _order_items(order: Row) -> Iterator[Row]:
    for position, item in enumerate(order["items"]):
        yield {
            "order_id": order["pk"],
            "position": position,
            **_without_unknown_columns(OrderItem, item),
        }


def _orders_with_coupon(coupon: Row) -> Iterator[tuple[SampleTable, Row]]:
    """Yield the orders with a coupon: without all of them its remaining count would be wrong."""
    order_pks = {redemption["order_id"] for redemption in coupon["redemptions"]}
    for order in sample_rows("orders"):
        if order["pk"] in order_pks:
            yield SAMPLE_TABLES["orders"], order


# `<name>.json` has the rows of a table. A row may refer to rows of the tables before its own.
SAMPLE_TABLES = {
    "ingredients": SampleTable(Ingredient),
    "potions": SampleTable(Potion, PotionIngredient, _potion_ingredients),
    "users": SampleTable(User),
    "heroes": SampleTable(Hero),
    # The digests are random: no secret matches them.
    "tokens": SampleTable(Token),
    "stores": SampleTable(Store),
    "products": SampleTable(Product),
    "coupons": SampleTable(Coupon, Redemption, _redemptions, _orders_with_coupon),
    "orders": SampleTable(Order, OrderItem, _order_items),
    "audit_log": SampleTable(AuditEntry),
}


def sample_rows(table_name: str) -> list[Row]:
    """Return the sample rows of a table, in the order of their primary keys."""
    file = resources.files(__name__) / f"{table_name}.json"
    sample_rows: list[Row] = json.loads(file.read_text("utf-8"))
    return sample_rows


def ignore_progress(_done: int, _total: int) -> None:
    """Do nothing with the progress."""


def load_missing(url: URL, progress: Progress = ignore_progress) -> dict[str, int]:
    """Insert missing sample rows into a migrated database, in one transaction.

    Return the counts by table. Raise IntegrityError if a referenced row is deleted meanwhile: then
    call it again.
    """
    with create_unpooled_engine(url).begin() as connection:
        return insert_missing(connection, progress)


def insert_missing(connection: Connection, progress: Progress = ignore_progress) -> dict[str, int]:
    """Insert missing sample rows; return the counts by table.

    Existing rows do not change, and a row that refers to a missing row is skipped. `progress` is
    called after each batch with the numbers of processed and of all rows.
    """
    batches = list(_batches())
    added, done, total = dict.fromkeys(SAMPLE_TABLES, 0), 0, sum(len(batch) for _, batch in batches)
    for name, batch in batches:
        added[name] += _insert_batch(connection, SAMPLE_TABLES[name], batch)
        done += len(batch)
        progress(done, total)
    return added


def _batches() -> Iterator[tuple[str, list[Row]]]:
    for name in SAMPLE_TABLES:
        rows = sample_rows(name)
        for start in range(0, len(rows), BATCH_SIZE):
            yield name, rows[start : start + BATCH_SIZE]


def _insert_batch(connection: Connection, sample_table: SampleTable, batch: list[Row]) -> int:
    batch = _without_dangling_references(connection, sample_table, batch)
    if not batch:
        return 0
    values = [_without_unknown_columns(sample_table.model, row) for row in batch]
    # For a conflict on any column: another row may have the same e-mail address or nickname.
    statement = insert(sample_table.model).on_conflict_do_nothing()
    pks = connection.scalars(statement.returning(table(sample_table.model).c.pk), values)
    inserted = {str(pk) for pk in pks}
    # Only for inserted rows: the children of an existing row may have been edited.
    children = [
        child for row in batch if row["pk"] in inserted for child in sample_table.children(row)
    ]
    if sample_table.child_model and children:
        connection.execute(insert(sample_table.child_model), children)
    return len(inserted)


def _without_unknown_columns(model: type[Base], row: Row) -> Row:
    """Return the values of columns, without children and names that are only for readers."""
    return {name: row[name] for name in table(model).columns.keys() & row.keys()}


def _without_dangling_references(
    connection: Connection, sample_table: SampleTable, batch: list[Row]
) -> list[Row]:
    """Return the rows whose references exist.

    A sample user is missing if another user has their e-mail address. Then their heroes, stores and
    orders are skipped, too.
    """
    references = {row["pk"]: set(_outside_references(sample_table, row)) for row in batch}
    existing = _existing_references(connection, set().union(*references.values()))
    return [row for row in batch if references[row["pk"]] <= existing]


def _existing_references(connection: Connection, references: set[Reference]) -> set[Reference]:
    existing: set[Reference] = set()
    for target in {target for target, _ in references}:
        pks = [pk for table_, pk in references if table_ is target]
        query = select(target.c.pk).where(target.c.pk.in_(pks))
        existing |= {(target, str(key)) for key in connection.scalars(query)}
    return existing


def _outside_references(sample_table: SampleTable, row: Row) -> Iterator[Reference]:
    """Yield what a row, its children and its dependents refer to, except for each other."""
    models = (sample_table.model, sample_table.child_model)
    tables = {table(model) for model in models if model}
    references = [*_foreign_key_references(sample_table.model, row)]
    for child in sample_table.children(row):
        references += (
            _foreign_key_references(sample_table.child_model, child)
            if sample_table.child_model
            else ()
        )
    for dependent_table, dependent in sample_table.dependents(row):
        references += _outside_references(dependent_table, dependent)
    yield from (reference for reference in references if reference[0] not in tables)


def _foreign_key_references(model: type[Base], row: Row) -> Iterator[Reference]:
    for foreign_key in table(model).foreign_keys:
        if foreign_key.column.primary_key and (pk := row.get(foreign_key.parent.name)) is not None:
            yield foreign_key.column.table, pk
