"""former and new values of roles and permissions, and more about who made a change"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    empty = sa.text("'[]'")
    op.add_column(
        "audit_log", sa.Column("changes", sa.JSON(), server_default=empty, nullable=False)
    )
    op.add_column("audit_log", sa.Column("client_request_id", sa.String(64)))
    op.add_column("audit_log", sa.Column("client_address", sa.String(45)))
    op.add_column("audit_log", sa.Column("os_user", sa.String(255)))


def downgrade() -> None:
    for column in ("os_user", "client_address", "client_request_id", "changes"):
        op.drop_column("audit_log", column)
