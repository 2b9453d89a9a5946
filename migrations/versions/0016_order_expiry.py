"""the time until which an order can be paid

Orders that are placed already can be paid for another day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

# The service is stopped meanwhile, and most rows are not changed.
FILL = """
    -- squawk-ignore-file constraint-missing-not-valid, require-concurrent-index-creation
    UPDATE orders SET expires_at = now() + interval '1 day' WHERE status = 'placed'
"""


def upgrade() -> None:
    op.add_column("orders", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.execute(FILL)
    op.create_check_constraint(
        op.f("orders_expires_at_check"), "orders", "expires_at IS NULL OR status = 'placed'"
    )
    op.create_index("orders_expires_at_idx", "orders", ["expires_at"])


def downgrade() -> None:
    op.drop_column("orders", "expires_at")
