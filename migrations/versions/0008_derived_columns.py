"""columns that Python derives: case-folded texts, sort keys, and the words of the search

It commits several times, and can be run again after an interruption. It stops before its first
change if two rows would have the same case-folded text.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects.postgresql import TSVECTOR

from alchemist.database.text_keys import fold, sort_key
from alchemist.database.text_search import search_vector_of

revision = "0008"
down_revision = "0007"

KEY = sa.String(600, collation="C")
BATCH_SIZE = 1000
MAX_COLLISIONS = 10

FOLDED = {"users": "email", "heroes": "nickname", "coupons": "code"}
SORTED = FOLDED | dict.fromkeys(("ingredients", "potions", "stores", "products"), "name")
SEARCHED = {
    "ingredients": ("name", "description"),
    "potions": ("name", "description"),
    "users": ("email", "full_name"),
    "heroes": ("nickname",),
    "stores": ("name", "street", "city"),
    "products": ("name", "description"),
}
# The source columns of each derived column, and what makes its value of them.
Derivation = tuple[tuple[str, ...], Callable[..., str]]

OLD_CONSTRAINTS = ("users", "heroes")
OLD_INDEXES: dict[str, tuple[str, list[str | sa.TextClause], dict[str, Any]]] = {
    "coupons_code_key": ("coupons", [sa.text("lower(code)")], {"unique": True}),
    **{
        f"{table}_{SORTED[table]}_pk_idx": (table, [SORTED[table], "pk"], {})
        for table in ("stores", "products", "coupons")
    },
    **{
        f"{table}_words_idx": (
            table,
            [
                sa.text(
                    "to_tsvector('simple'::regconfig, "
                    + " || ' ' || ".join(f"coalesce({column}, '')" for column in columns)
                    + ")"
                )
            ],
            {"postgresql_using": "gin"},
        )
        for table, columns in SEARCHED.items()
    },
}
NEW_INDEXES: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    **{
        f"{table}_{column}_sort_pk_idx": (table, [f"{column}_sort", "pk"], {})
        for table, column in SORTED.items()
    },
    "products_store_id_name_sort_pk_idx": ("products", ["store_id", "name_sort", "pk"], {}),
    **{
        f"{table}_search_words_idx": (table, ["search_words"], {"postgresql_using": "gin"})
        for table in SEARCHED
    },
}


def derivations(table: str) -> dict[str, Derivation]:
    columns: dict[str, Derivation] = {f"{SORTED[table]}_sort": ((SORTED[table],), sort_key)}
    if table in FOLDED:
        columns[f"{FOLDED[table]}_folded"] = ((FOLDED[table],), fold)
    if table in SEARCHED:
        columns["search_words"] = (SEARCHED[table], search_vector_of)
    return columns


def upgrade() -> None:
    if not context.is_offline_mode():
        check_collisions()
    for table in SORTED:
        for name in derivations(table):
            type_ = TSVECTOR() if name == "search_words" else KEY
            new_column = sa.Column(name, type_, nullable=False, server_default="")
            op.add_column(table, new_column, if_not_exists=True)
    with op.get_context().autocommit_block():
        if not context.is_offline_mode():
            for table in SORTED:
                fill(table)
        replace_indexes()
    for table, column in FOLDED.items():
        name = f"{table}_{column}_folded_key"
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}")
    for table in OLD_CONSTRAINTS:
        # The new constraint guarantees more.
        op.execute(
            "-- squawk-ignore ban-drop-constraint\n"
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_{FOLDED[table]}_key"
        )


def check_collisions() -> None:
    """Stop if two rows of a table would have the same case-folded text; name up to ten."""
    collisions = [
        line for table, column in FOLDED.items() for line in find_collisions(table, column)
    ]
    if collisions:
        more = len(collisions) - MAX_COLLISIONS
        lines = collisions[:MAX_COLLISIONS] + ([f"… and {more} more"] if more > 0 else [])
        raise CommandError(
            f"migration {revision} did not start. These rows differ only in what is ignored from "
            "now on, such as upper and lower case: change or delete all but one of each.\n"
            + "\n".join(lines)
        )


def find_collisions(table: str, column: str) -> Iterator[str]:
    rows_by_text: defaultdict[str, list[str]] = defaultdict(list)
    for row in chain.from_iterable(batches(table, column)):
        rows_by_text[fold(row[column])].append(f"{row[column]!r} ({row['pk']})")
    for rows in rows_by_text.values():
        if len(rows) > 1:
            yield f"{table}.{column}: {', '.join(rows)}"


def batches(table: str, *columns: str) -> Iterator[Sequence[sa.RowMapping]]:
    """Yield all rows of a table, in the order of their keys."""
    pk = sa.column("pk", sa.Uuid())
    query = sa.select(pk, *map(sa.column, columns)).select_from(sa.table(table))
    query = query.order_by(pk).limit(BATCH_SIZE)
    rows = op.get_bind().execute(query).mappings().all()
    while rows:
        yield rows
        query_after = query.where(pk > rows[-1]["pk"])
        rows = op.get_bind().execute(query_after).mappings().all()


def fill(table: str) -> None:
    """Set the derived columns of all rows."""
    columns = derivations(table)
    sources = dict.fromkeys(source for names, _derive in columns.values() for source in names)
    target = sa.table(table, sa.column("pk"), *map(sa.column, columns))
    statement = target.update().where(target.c.pk == sa.bindparam("key"))
    statement = statement.values({name: sa.bindparam(name) for name in columns})
    for rows in batches(table, *sources):
        values = [
            {"key": row["pk"]}
            | {
                name: derive(*(row[source] for source in names))
                for name, (names, derive) in columns.items()
            }
            for row in rows
        ]
        op.get_bind().execute(statement, values)


def replace_indexes() -> None:
    unique = {
        f"{table}_{column}_folded_key": (table, [f"{column}_folded"], {"unique": True})
        for table, column in FOLDED.items()
    }
    for name, (table, columns, options) in (unique | NEW_INDEXES).items():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(
            name, table, columns, if_not_exists=True, postgresql_concurrently=True, **options
        )
    for name, (table, _columns, _options) in OLD_INDEXES.items():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)


def downgrade() -> None:
    for table in OLD_CONSTRAINTS:
        op.create_unique_constraint(f"{table}_{FOLDED[table]}_key", table, [FOLDED[table]])
    for name, (table, columns, options) in OLD_INDEXES.items():
        op.create_index(name, table, columns, **options)
    for table in SORTED:
        for name in derivations(table):
            op.drop_column(table, name)
