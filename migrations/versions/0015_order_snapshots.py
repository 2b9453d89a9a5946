"""names and coupon codes as they were when an order was placed, and fulfilment by item"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

STATUSES = "'placed', 'paid', 'fulfilled', 'cancelled'"
# The rows are rewritten anyway, so constraints are validated under the same lock.
FILL_ITEMS = """
    -- squawk-ignore-file constraint-missing-not-valid, adding-not-nullable-field
    -- squawk-ignore-file changing-column-type, ban-drop-constraint
    -- squawk-ignore-file require-concurrent-index-creation
    UPDATE order_items SET store_id = products.store_id, name = products.name,
        fulfilled_at = CASE orders.status WHEN 'fulfilled' THEN orders.updated_at END
    FROM products, orders
    WHERE products.pk = order_items.product_id AND orders.pk = order_items.order_id
"""
FILL_ORDERS = """
    UPDATE orders SET coupon_code = coupons.code
    FROM redemptions JOIN coupons ON coupons.pk = coupon_id
    WHERE redemptions.pk = orders.redemption_id
"""


def replace_status_check(statuses: str) -> None:
    op.drop_constraint(op.f("orders_status_check"), "orders")
    op.create_check_constraint(op.f("orders_status_check"), "orders", f"status IN ({statuses})")


def upgrade() -> None:
    op.add_column("orders", sa.Column("coupon_code", sa.String(64)))
    op.add_column("order_items", sa.Column("store_id", sa.Uuid()))
    op.add_column("order_items", sa.Column("name", sa.String(255)))
    op.add_column("order_items", sa.Column("fulfilled_at", sa.DateTime(timezone=True)))
    op.execute(FILL_ITEMS)
    op.execute(FILL_ORDERS)
    op.alter_column("order_items", "store_id", nullable=False)
    op.alter_column("order_items", "name", nullable=False)
    op.alter_column("orders", "status", type_=sa.String(32))
    replace_status_check("'placed', 'paid', 'partially_fulfilled', 'fulfilled', 'cancelled'")
    op.create_index("order_items_store_id_order_id_idx", "order_items", ["store_id", "order_id"])


def downgrade() -> None:
    op.execute("UPDATE orders SET status = 'paid' WHERE status = 'partially_fulfilled'")
    replace_status_check(STATUSES)
    op.alter_column("orders", "status", type_=sa.String(16))
    op.drop_column("orders", "coupon_code")
    for column in ("store_id", "name", "fulfilled_at"):
        op.drop_column("order_items", column)
