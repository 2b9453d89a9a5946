"""the number and the transaction of each audit entry, for the feed of changes

Entries that are stored already have neither: the feed does not show them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

TRANSACTION_ID = (
    "greatest(pg_current_xact_id()::text::bigint,"
    " pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)"
)


def upgrade() -> None:
    for name in ("sequence", "transaction_id"):
        # A constant default does not rewrite the table.
        column = sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
        op.add_column("audit_log", column)
    # Nothing inserts into these columns yet.
    op.execute(
        "-- squawk-ignore ban-drop-default\nALTER TABLE audit_log ALTER sequence DROP DEFAULT"
    )
    op.execute(
        "-- squawk-ignore ban-alter-identity\n"
        "ALTER TABLE audit_log ALTER sequence ADD GENERATED ALWAYS AS IDENTITY"
    )
    op.alter_column("audit_log", "transaction_id", server_default=sa.text(TRANSACTION_ID))


def downgrade() -> None:
    op.drop_column("audit_log", "transaction_id")
    op.drop_column("audit_log", "sequence")
