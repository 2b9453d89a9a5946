"""tokens made with tokens, suspended users, and whom a stored response mentions"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0006"
down_revision = "0005"

# Primary keys with or without dashes, and e-mail addresses: as in `alchemist.api.idempotency`.
SET_IDENTIFIERS = """
    UPDATE idempotency_keys SET identifiers = ARRAY(
        SELECT DISTINCT replace(lower(match[1]), '-', '') FROM regexp_matches(
            body, '[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}', 'g'
        ) AS keys (match)
        UNION
        SELECT DISTINCT lower(match[1])
        FROM regexp_matches(body, '[^\\s"\\\\<>]+@[^\\s"\\\\<>]+', 'g') AS addresses (match)
    )
"""


def upgrade() -> None:
    op.add_column("tokens", sa.Column("made_with_id", sa.Uuid()))
    # No row has a value yet, so there is nothing to validate, and no other session waits long.
    op.create_foreign_key(
        "tokens_made_with_id_fkey",
        "tokens",
        "tokens",
        ["made_with_id"],
        ["pk"],
        ondelete="CASCADE",
        postgresql_not_valid=True,
    )
    op.add_column("users", sa.Column("suspended_at", sa.DateTime(timezone=True)))
    empty = sa.text("'{}'")
    op.add_column(
        "idempotency_keys",
        sa.Column("identifiers", ARRAY(sa.Text()), server_default=empty, nullable=False),
    )
    op.execute(SET_IDENTIFIERS)


def downgrade() -> None:
    op.drop_column("idempotency_keys", "identifiers")
    op.drop_column("users", "suspended_at")
    op.drop_column("tokens", "made_with_id")
