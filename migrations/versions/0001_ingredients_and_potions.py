"""ingredients and potions"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


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


def create_named(table: str) -> None:
    op.create_table(
        table,
        *versioned(
            sa.Column("name", sa.String(127), nullable=False),
            sa.Column("description", sa.String(2000)),
        ),
        sa.PrimaryKeyConstraint("pk", name=f"{table}_pkey"),
        sa.CheckConstraint("name <> ''", name=op.f(f"{table}_name_check")),
    )
    op.create_index(f"{table}_name_pk_idx", table, ["name", "pk"])
    op.create_index(f"{table}_created_at_pk_idx", table, ["created_at", "pk"])
    vector = (
        "to_tsvector('simple'::regconfig, coalesce(name, '') || ' ' || coalesce(description, ''))"
    )
    op.create_index(f"{table}_words_idx", table, [sa.text(vector)], postgresql_using="gin")


def upgrade() -> None:
    create_named("ingredients")
    create_named("potions")
    op.create_table(
        "potion_ingredients",
        sa.Column("potion_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("ingredient_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(12, 3)),
        sa.Column("unit", sa.String(16)),
        sa.PrimaryKeyConstraint("potion_id", "position", name="potion_ingredients_pkey"),
        sa.UniqueConstraint(
            "potion_id", "ingredient_id", name="potion_ingredients_potion_id_ingredient_id_key"
        ),
        sa.ForeignKeyConstraint(
            ["potion_id"],
            ["potions.pk"],
            name="potion_ingredients_potion_id_fkey",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["ingredient_id"], ["ingredients.pk"], name="potion_ingredients_ingredient_id_fkey"
        ),
        sa.CheckConstraint("amount > 0", name=op.f("potion_ingredients_amount_check")),
        sa.CheckConstraint("unit <> ''", name=op.f("potion_ingredients_unit_check")),
    )
    op.create_index("potion_ingredients_ingredient_id_idx", "potion_ingredients", ["ingredient_id"])


def downgrade() -> None:
    op.drop_table("potion_ingredients")
    op.drop_table("potions")
    op.drop_table("ingredients")
