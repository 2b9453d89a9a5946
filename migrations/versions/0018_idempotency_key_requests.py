"""the method and the path of the requests whose responses are stored"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    # Null for the requests of former versions, which expire in a day.
    op.add_column("idempotency_keys", sa.Column("method", sa.String(16)))
    op.add_column("idempotency_keys", sa.Column("path", sa.Text()))


def downgrade() -> None:
    op.drop_column("idempotency_keys", "path")
    op.drop_column("idempotency_keys", "method")
