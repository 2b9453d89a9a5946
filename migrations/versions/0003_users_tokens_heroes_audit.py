"""users, tokens, heroes, audit log"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0003"
down_revision = "0002"


def versioned(*columns: sa.Column[Any]) -> list[sa.Column[Any]]:
    now = sa.text("now()")
    instant = sa.DateTime(timezone=True)
    return [
        sa.Column("pk", sa.Uuid(), nullable=False),
        *columns,
        sa.Column("created_at", instant, server_default=now, nullable=False),
        sa.Column("updated_at", instant, server_default=now, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
    ]


def index_words(table: str, expression: str) -> None:
    vector = sa.text(f"to_tsvector('simple'::regconfig, {expression})")
    op.create_index(f"{table}_words_idx", table, [vector], postgresql_using="gin")


def create_users() -> None:
    op.create_table(
        "users",
        *versioned(
            sa.Column("email", sa.String(254), nullable=False),
            sa.Column("full_name", sa.String(255), nullable=False),
            sa.Column("role", sa.String(16), server_default="customer", nullable=False),
        ),
        sa.PrimaryKeyConstraint("pk", name="users_pkey"),
        sa.UniqueConstraint("email", name="users_email_key"),
        sa.CheckConstraint("email = lower(email) AND email <> ''", name=op.f("users_email_check")),
        sa.CheckConstraint("full_name <> ''", name=op.f("users_full_name_check")),
        sa.CheckConstraint(
            "role IN ('customer', 'merchant', 'admin')", name=op.f("users_role_check")
        ),
    )
    op.create_index("users_role_pk_idx", "users", ["role", "pk"])
    op.create_index("users_created_at_pk_idx", "users", ["created_at", "pk"])
    index_words("users", "coalesce(email, '') || ' ' || coalesce(full_name, '')")


def create_tokens() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "tokens",
        *versioned(
            sa.Column("user_id", sa.Uuid(), nullable=False),
            sa.Column("label", sa.String(127), nullable=False),
            sa.Column("digest", sa.String(64), nullable=False),
            sa.Column("permissions", ARRAY(sa.String())),
            sa.Column("expires_at", instant, nullable=False),
            sa.Column("revoked_at", instant),
            sa.Column("last_used_at", instant),
        ),
        sa.PrimaryKeyConstraint("pk", name="tokens_pkey"),
        sa.UniqueConstraint("digest", name="tokens_digest_key"),
        sa.CheckConstraint("label <> ''", name=op.f("tokens_label_check")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.pk"], name="tokens_user_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("tokens_user_id_pk_idx", "tokens", ["user_id", "pk"])
    op.create_index("tokens_user_id_created_at_idx", "tokens", ["user_id", "created_at"])


def create_heroes() -> None:
    op.create_table(
        "heroes",
        *versioned(
            sa.Column("nickname", sa.String(255), nullable=False),
            sa.Column("role", sa.String(16)),
            sa.Column("user_id", sa.Uuid()),
        ),
        sa.PrimaryKeyConstraint("pk", name="heroes_pkey"),
        sa.UniqueConstraint("nickname", name="heroes_nickname_key"),
        sa.CheckConstraint("nickname <> ''", name=op.f("heroes_nickname_check")),
        sa.CheckConstraint(
            "role IN ('mage', 'assassin', 'warrior', 'priest', 'tank')",
            name=op.f("heroes_role_check"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.pk"], name="heroes_user_id_fkey"),
    )
    op.create_index("heroes_created_at_pk_idx", "heroes", ["created_at", "pk"])
    op.create_index("heroes_role_pk_idx", "heroes", ["role", "pk"])
    op.create_index("heroes_user_id_pk_idx", "heroes", ["user_id", "pk"])
    index_words("heroes", "coalesce(nickname, '')")


def create_audit_log() -> None:
    op.create_table(
        "audit_log",
        *versioned(
            sa.Column("resource", sa.String(63), nullable=False),
            sa.Column("resource_pk", sa.Uuid(), nullable=False),
            sa.Column("action", sa.String(16), nullable=False),
            sa.Column("fields", ARRAY(sa.String()), nullable=False),
            sa.Column("user_id", sa.Uuid()),
            sa.Column("token_id", sa.Uuid()),
            sa.Column("request_id", sa.String(64)),
        ),
        sa.PrimaryKeyConstraint("pk", name="audit_log_pkey"),
        sa.CheckConstraint(
            "action IN ('create', 'update', 'delete')", name=op.f("audit_log_action_check")
        ),
    )
    op.create_index(
        "audit_log_resource_resource_pk_pk_idx", "audit_log", ["resource", "resource_pk", "pk"]
    )
    for column in ("resource_pk", "user_id", "created_at"):
        op.create_index(f"audit_log_{column}_pk_idx", "audit_log", [column, "pk"])


def upgrade() -> None:
    create_users()
    create_tokens()
    create_heroes()
    create_audit_log()


def downgrade() -> None:
    for table in ("audit_log", "heroes", "tokens", "users"):
        op.drop_table(table)
