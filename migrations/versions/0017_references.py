"""the references by which other systems know rows

CREATE INDEX CONCURRENTLY leaves an invalid index if it is interrupted: so each index and constraint
is dropped first, and the migration can be run again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

TABLES = ("ingredients", "potions", "stores", "products", "coupons")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for table in TABLES:
            op.add_column(
                table, sa.Column("reference", sa.String(127, collation="C")), if_not_exists=True
            )
            add_index_and_check(table)


def add_index_and_check(table: str) -> None:
    index, check = f"{table}_reference_idx", f"{table}_reference_check"
    op.drop_index(index, table, if_exists=True, postgresql_concurrently=True)
    op.create_index(
        index,
        table,
        ["reference"],
        unique=True,
        if_not_exists=True,
        postgresql_concurrently=True,
    )
    op.execute(
        "-- squawk-ignore ban-drop-constraint\n"
        f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {check}"
    )
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK (reference <> '') NOT VALID")
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {check}")


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "reference")
