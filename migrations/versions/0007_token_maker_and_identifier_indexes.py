"""indexes for tokens made with a token, and for stored responses that mention somebody

CREATE INDEX CONCURRENTLY leaves an invalid index if it is interrupted: so each index is dropped
first, and the migration can be run again.
"""

from typing import Any

from alembic import op

revision = "0007"
down_revision = "0006"

INDEXES: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "tokens_made_with_id_idx": ("tokens", ["made_with_id"], {}),
    "idempotency_keys_identifiers_idx": (
        "idempotency_keys",
        ["identifiers"],
        {"postgresql_using": "gin"},
    ),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, (table, columns, options) in INDEXES.items():
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name, table, columns, if_not_exists=True, postgresql_concurrently=True, **options
            )
    op.execute("ALTER TABLE tokens VALIDATE CONSTRAINT tokens_made_with_id_fkey")


def downgrade() -> None:
    for name, (table, _columns, _options) in INDEXES.items():
        op.drop_index(name, table)
