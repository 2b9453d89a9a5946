"""the offset by which the feed of changes continues after a restore"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
is_backward_compatible = True

TRANSACTION_ID = (
    "greatest(pg_current_xact_id()::text::bigint,"
    " pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)"
)
OFFSET = "coalesce(pg_sequence_last_value('audit_log_offset'::regclass), 0)"


def upgrade() -> None:
    op.execute(sa.schema.CreateSequence(sa.Sequence("audit_log_offset")))
    # The role of the service, whatever its name is, writes entries with the default.
    op.execute("GRANT SELECT ON SEQUENCE audit_log_offset TO PUBLIC")
    default = sa.text(f"{TRANSACTION_ID} + {OFFSET}")
    op.alter_column("audit_log", "transaction_id", server_default=default)


def downgrade() -> None:
    op.alter_column("audit_log", "transaction_id", server_default=sa.text(TRANSACTION_ID))
    op.execute("DROP SEQUENCE audit_log_offset")
