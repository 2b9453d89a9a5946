"""amounts with the decimals of their currency (ISO 4217), and the currency of products

A price that its currency lacks is rounded. An agreed amount of an order changes its spelling only:
"1480.00" JPY becomes "1480". The downgrade fails if an amount has more than two decimals.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

NO_DECIMALS = (
    "'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND',"
    " 'VUV', 'XAF', 'XOF', 'XPF'"
)
DECIMALS = (
    f"CASE WHEN currency IN ({NO_DECIMALS}) THEN 0"
    " WHEN currency IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3"
    " WHEN currency IN ('CLF', 'UYW') THEN 4 ELSE 2 END"
)
IS_AMOUNT = f"price = round(price, {DECIMALS}) AND price * power(10::numeric, {DECIMALS}) < 1e12"
AMOUNTS = ("unit_price", "discount", "total")
TOTALS = """
    UPDATE orders SET totals = sums.totals
    FROM (
        SELECT order_id, json_agg(json_build_object(
            'currency', currency, 'subtotal', subtotal::text, 'discount', discount::text,
            'total', total::text
        ) ORDER BY currency) AS totals
        FROM (
            SELECT order_id, currency, sum(quantity * unit_price) AS subtotal,
                sum(discount) AS discount, sum(total) AS total
            FROM order_items GROUP BY order_id, currency
        ) AS items GROUP BY order_id
    ) AS sums
    WHERE order_id = pk AND EXISTS (
        SELECT FROM order_items WHERE order_id = pk AND {decimals} <> 2
    )
"""


# The rows of `products` are rewritten anyway, so its constraints are validated under the same lock.
UNIQUE_CURRENCY = """
    -- squawk-ignore-file disallowed-unique-constraint, changing-column-type
    -- squawk-ignore-file constraint-missing-not-valid, adding-foreign-key-constraint
    -- squawk-ignore-file adding-not-nullable-field, ban-drop-constraint
    ALTER TABLE stores ADD CONSTRAINT stores_pk_currency_key UNIQUE (pk, currency)
"""


def upgrade() -> None:
    add_currency()
    for column in AMOUNTS:
        op.alter_column("order_items", column, type_=sa.Numeric())
    amounts = ", ".join(
        f"{column} = CASE WHEN {column} = round({column}, {DECIMALS})"
        f" THEN round({column}, {DECIMALS}) ELSE {column} END"
        for column in AMOUNTS
    )
    op.execute(f"UPDATE order_items SET {amounts} WHERE {DECIMALS} <> 2")  # noqa: S608
    op.execute(TOTALS.format(decimals=DECIMALS))


def add_currency() -> None:
    op.execute(UNIQUE_CURRENCY)
    op.add_column("products", sa.Column("currency", sa.String(3)))
    op.alter_column("products", "price", type_=sa.Numeric())
    op.execute(
        "UPDATE products SET currency = stores.currency FROM stores WHERE stores.pk = store_id"
    )
    rounded = f"UPDATE products SET price = round(price, {DECIMALS}) WHERE {DECIMALS} < 2"  # noqa: S608
    op.execute(rounded)
    op.alter_column("products", "currency", nullable=False)
    op.create_check_constraint(op.f("products_currency_check"), "products", IS_AMOUNT)
    op.create_foreign_key(
        "products_store_id_currency_fkey",
        "products",
        "stores",
        ["store_id", "currency"],
        ["pk", "currency"],
        onupdate="CASCADE",
    )
    op.drop_constraint("products_store_id_fkey", "products")


def downgrade() -> None:
    for column in AMOUNTS:
        op.alter_column("order_items", column, type_=sa.Numeric(12, 2))
    op.execute(TOTALS.format(decimals=DECIMALS))
    op.create_foreign_key("products_store_id_fkey", "products", "stores", ["store_id"], ["pk"])
    op.drop_column("products", "currency")
    op.alter_column("products", "price", type_=sa.Numeric(12, 2))
    op.drop_constraint("stores_pk_currency_key", "stores")
