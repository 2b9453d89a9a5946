"""indexes for lists that are sorted by the time of the last change

CREATE INDEX CONCURRENTLY leaves an invalid index if it is interrupted: so each index is dropped
first, and the migration can be run again.
"""

from alembic import op

revision = "0019"
down_revision = "0018"

TABLES = ["coupons", "heroes", "ingredients", "orders", "potions", "products", "stores", "users"]
INDEXES = {f"{table}_updated_at_pk_idx": (table, ["updated_at", "pk"]) for table in TABLES} | {
    "redemptions_coupon_id_updated_at_pk_idx": ("redemptions", ["coupon_id", "updated_at", "pk"]),
    "orders_status_updated_at_pk_idx": ("orders", ["status", "updated_at", "pk"]),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, (table, columns) in INDEXES.items():
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
            op.create_index(name, table, columns, if_not_exists=True, postgresql_concurrently=True)


def downgrade() -> None:
    for name, (table, _columns) in INDEXES.items():
        op.drop_index(name, table)
