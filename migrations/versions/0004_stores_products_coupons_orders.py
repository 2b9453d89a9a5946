"""stores, products, coupons, redemptions, orders"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

NAME = sa.String(255)
MONEY = sa.Numeric(12, 2)
INSTANT = sa.DateTime(timezone=True)


def versioned(*columns: sa.Column[Any]) -> list[sa.Column[Any]]:
    now = sa.text("now()")
    return [
        sa.Column("pk", sa.Uuid(), nullable=False),
        *columns,
        sa.Column("created_at", INSTANT, server_default=now, nullable=False),
        sa.Column("updated_at", INSTANT, server_default=now, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
    ]


def check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"{table}_{name}_check"))


def foreign_key(table: str, column: str, target: str, **options: Any) -> sa.ForeignKeyConstraint:
    name = f"{table}_{column}_fkey"
    return sa.ForeignKeyConstraint([column], [f"{target}.pk"], name=name, **options)


def index(table: str, *columns: str) -> None:
    op.create_index(f"{table}_{'_'.join(columns)}_idx", table, list(columns))


def index_words(table: str, *columns: str) -> None:
    text = " || ' ' || ".join(f"coalesce({column}, '')" for column in columns)
    vector = sa.text(f"to_tsvector('simple'::regconfig, {text})")
    op.create_index(f"{table}_words_idx", table, [vector], postgresql_using="gin")


def create_stores() -> None:
    required = ("name", "street", "zipcode", "city", "country")
    op.create_table(
        "stores",
        *versioned(
            sa.Column("owner_id", sa.Uuid()),
            *(sa.Column(name, NAME, nullable=False) for name in required),
            sa.Column("currency", sa.String(3), nullable=False),
            sa.Column("domain", NAME),
            sa.Column("phone", sa.String(64)),
            sa.Column("email", sa.String(254)),
        ),
        sa.PrimaryKeyConstraint("pk", name="stores_pkey"),
        foreign_key("stores", "owner_id", "users"),
        *(check("stores", name, f"{name} <> ''") for name in required),
        check("stores", "currency", "currency ~ '^[A-Z]{3}$'"),
    )
    for column in ("name", "created_at", "city", "country", "currency", "owner_id"):
        index("stores", column, "pk")
    index_words("stores", "name", "street", "city")


def create_products() -> None:
    op.create_table(
        "products",
        *versioned(
            sa.Column("store_id", sa.Uuid(), nullable=False),
            sa.Column("potion_id", sa.Uuid()),
            sa.Column("name", NAME, nullable=False),
            sa.Column("description", sa.String(2000)),
            sa.Column("price", MONEY, nullable=False),
            sa.Column("stock", sa.BigInteger()),
            sa.Column(
                "in_stock",
                sa.Boolean(),
                sa.Computed("stock IS NULL OR stock > 0", persisted=True),
                nullable=False,
            ),
        ),
        sa.PrimaryKeyConstraint("pk", name="products_pkey"),
        foreign_key("products", "store_id", "stores"),
        foreign_key("products", "potion_id", "potions"),
        sa.UniqueConstraint("store_id", "name", name="products_store_id_name_key"),
        check("products", "name", "name <> ''"),
        check("products", "price", "price >= 0"),
        check("products", "stock", "stock >= 0"),
    )
    for column in ("name", "price", "created_at", "store_id", "potion_id", "in_stock"):
        index("products", column, "pk")
    index_words("products", "name", "description")


def create_coupons() -> None:
    op.create_table(
        "coupons",
        *versioned(
            sa.Column("code", sa.String(64), nullable=False),
            sa.Column("init_count", sa.Integer(), nullable=False),
            sa.Column("remaining_count", sa.Integer(), nullable=False),
            sa.Column("used_before", sa.Integer(), server_default=sa.text("0"), nullable=False),
            sa.Column("percent_off", sa.Integer()),
            sa.Column("valid_from", INSTANT),
            sa.Column("valid_until", INSTANT),
            sa.Column("per_user_limit", sa.Integer()),
            sa.Column(
                "is_left",
                sa.Boolean(),
                sa.Computed("remaining_count > 0", persisted=True),
                nullable=False,
            ),
        ),
        sa.PrimaryKeyConstraint("pk", name="coupons_pkey"),
        check("coupons", "code", "code <> ''"),
        check("coupons", "init_count", "init_count >= 0"),
        check("coupons", "remaining_count", "remaining_count BETWEEN 0 AND init_count"),
        check("coupons", "used_before", "used_before BETWEEN 0 AND init_count"),
        check("coupons", "percent_off", "percent_off BETWEEN 0 AND 100"),
        check("coupons", "valid_until", "valid_from < valid_until"),
        check("coupons", "per_user_limit", "per_user_limit >= 1"),
    )
    op.create_index("coupons_code_key", "coupons", [sa.text("lower(code)")], unique=True)
    for column in ("code", "created_at", "is_left"):
        index("coupons", column, "pk")


def create_redemptions() -> None:
    op.create_table(
        "redemptions",
        *versioned(
            sa.Column("coupon_id", sa.Uuid(), nullable=False),
            sa.Column("user_id", sa.Uuid()),
            sa.Column("order_id", sa.Uuid()),
            sa.Column("released_at", INSTANT),
        ),
        sa.PrimaryKeyConstraint("pk", name="redemptions_pkey"),
        foreign_key("redemptions", "coupon_id", "coupons"),
        foreign_key("redemptions", "user_id", "users"),
        sa.UniqueConstraint("order_id", name="redemptions_order_id_key"),
    )
    index("redemptions", "coupon_id", "pk")
    index("redemptions", "coupon_id", "created_at", "pk")
    index("redemptions", "user_id", "pk")
    op.create_index(
        "redemptions_live_idx",
        "redemptions",
        ["coupon_id", "user_id"],
        postgresql_where=sa.text("released_at IS NULL"),
    )


def create_orders() -> None:
    op.create_table(
        "orders",
        *versioned(
            sa.Column("user_id", sa.Uuid()),
            sa.Column("hero_id", sa.Uuid()),
            sa.Column("redemption_id", sa.Uuid()),
            sa.Column("status", sa.String(16), server_default="placed", nullable=False),
            sa.Column("placed_at", INSTANT, server_default=sa.text("now()"), nullable=False),
            sa.Column("totals", sa.JSON(), nullable=False),
        ),
        sa.PrimaryKeyConstraint("pk", name="orders_pkey"),
        foreign_key("orders", "user_id", "users"),
        foreign_key("orders", "hero_id", "heroes"),
        foreign_key("orders", "redemption_id", "redemptions"),
        sa.UniqueConstraint("redemption_id", name="orders_redemption_id_key"),
        check("orders", "status", "status IN ('placed', 'paid', 'fulfilled', 'cancelled')"),
    )
    for column in ("placed_at", "status", "user_id"):
        index("orders", column, "pk")
    index("orders", "hero_id")


def create_order_items() -> None:
    op.create_table(
        "order_items",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        *(sa.Column(name, MONEY, nullable=False) for name in ("unit_price", "discount", "total")),
        sa.PrimaryKeyConstraint("order_id", "position", name="order_items_pkey"),
        foreign_key("order_items", "order_id", "orders", ondelete="CASCADE"),
        foreign_key("order_items", "product_id", "products"),
        sa.UniqueConstraint("order_id", "product_id", name="order_items_order_id_product_id_key"),
        check("order_items", "quantity", "quantity >= 1"),
        check("order_items", "taken", "taken IN (0, quantity)"),
        check(
            "order_items",
            "total",
            "unit_price >= 0 AND discount >= 0 AND total >= 0"
            " AND total = quantity * unit_price - discount",
        ),
    )
    index("order_items", "product_id")


def upgrade() -> None:
    create_stores()
    create_products()
    create_coupons()
    create_redemptions()
    create_orders()
    create_order_items()


def downgrade() -> None:
    tables = ("order_items", "orders", "redemptions", "coupons", "products", "stores")
    for table in tables:
        op.drop_table(table)
