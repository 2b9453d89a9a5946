"""indexes for the feed of changes

CREATE INDEX CONCURRENTLY leaves an invalid index if it is interrupted: so each index is dropped
first, and the migration can be run again.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

INDEXES = {
    "audit_log_sequence_idx": ["sequence"],
    "audit_log_transaction_id_idx": ["transaction_id"],
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, columns in INDEXES.items():
            op.drop_index(name, "audit_log", if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name, "audit_log", columns, if_not_exists=True, postgresql_concurrently=True
            )


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "audit_log")
