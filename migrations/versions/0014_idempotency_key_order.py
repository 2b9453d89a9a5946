"""an index that finds the oldest idempotency keys of a caller

CREATE INDEX CONCURRENTLY leaves an invalid index if it is interrupted: so the index is dropped
first, and the migration can be run again.
"""

from alembic import op

revision = "0014"
down_revision = "0013"

INDEX = "idempotency_keys_caller_created_at_idx"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, "idempotency_keys", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            INDEX,
            "idempotency_keys",
            ["caller", "created_at"],
            if_not_exists=True,
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index(INDEX, "idempotency_keys")
