"""indexes with the filter of a list first, and then its sort keys

CREATE INDEX CONCURRENTLY leaves an invalid index if it is interrupted: so each index is dropped
first, and the migration can be run again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

USABLE_UNTIL = (
    "coalesce(CASE WHEN is_left THEN coalesce(valid_until, 'infinity'::timestamptz) END,"
    " '-infinity'::timestamptz)"
)

NEW_INDEXES: dict[str, tuple[str, list[str | sa.TextClause]]] = {
    "potion_ingredients_ingredient_id_potion_id_idx": (
        "potion_ingredients",
        ["ingredient_id", "potion_id"],
    ),
    "order_items_product_id_order_id_idx": ("order_items", ["product_id", "order_id"]),
    "orders_status_placed_at_pk_idx": ("orders", ["status", "placed_at", "pk"]),
    "orders_user_id_placed_at_pk_idx": ("orders", ["user_id", "placed_at", "pk"]),
    "coupons_valid_from_idx": ("coupons", ["valid_from"]),
    "coupons_usable_until_idx": ("coupons", [sa.text(USABLE_UNTIL)]),
}
OLD_INDEXES: dict[str, tuple[str, list[str]]] = {
    "potion_ingredients_ingredient_id_idx": ("potion_ingredients", ["ingredient_id"]),
    "order_items_product_id_idx": ("order_items", ["product_id"]),
    "coupons_is_left_pk_idx": ("coupons", ["is_left", "pk"]),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, (table, columns) in NEW_INDEXES.items():
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
            op.create_index(name, table, columns, if_not_exists=True, postgresql_concurrently=True)
        for name, (table, _columns) in OLD_INDEXES.items():
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)


def downgrade() -> None:
    for name, (table, columns) in OLD_INDEXES.items():
        op.create_index(name, table, columns)
    for name, (table, _columns) in NEW_INDEXES.items():
        op.drop_index(name, table)
