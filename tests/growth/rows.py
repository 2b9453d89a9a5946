"""Rows by the thousand or million, alike at every size: what is frequent there, and what rare.

Half of a table has one value, and twenty rows, the youngest if possible, have another, as orders
have that are paid and not yet fulfilled: a walk along the keys meets those last.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Table, text

import alchemist.app  # noqa: F401  registers every model
from alchemist.database import Base, is_derived

FREQUENT, RARE = "everywhere", "word7"

FUNCTIONS = """
    CREATE FUNCTION key(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
        AS $$ SELECT lpad(to_hex(n), 32, '0')::uuid $$;
    CREATE FUNCTION moment(n bigint) RETURNS timestamptz LANGUAGE sql STABLE
        AS $$ SELECT '2026-01-01'::timestamptz + n / 3 * interval '1 minute' $$;
    CREATE FUNCTION shuffled(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
        AS $$ SELECT n * 7919 % {rows} $$;
    CREATE FUNCTION halved(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
        AS $$ SELECT key(CASE WHEN n % 2 = 0 THEN 1 ELSE 2 + n % ({rows} / 10) END) $$;
    CREATE FUNCTION words(source text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
        SELECT array_to_tsvector(array_agg(DISTINCT left(word, size)))
        FROM regexp_split_to_table(lower(source), '[^a-z0-9]+') word,
            unnest('{{1,2,3,100}}'::int[]) size
        WHERE word <> ''
    $$;
"""
TABLES = {
    "users": """
        INSERT INTO users (pk, email, full_name, role, created_at)
        SELECT key(n), 'user' || shuffled(n) || '@alchemist.example', 'everywhere word' || n,
            CASE WHEN n > {rows} - 20 THEN 'admin' WHEN n % 2 = 0 THEN 'merchant'
                ELSE 'customer' END,
            moment(n)
        FROM generate_series(1, {rows}) n
    """,
    "heroes": """
        INSERT INTO heroes (pk, nickname, role, user_id, created_at)
        SELECT key(n), 'everywhere ' || shuffled(n) || ' word' || n,
            CASE WHEN n > {rows} - 20 THEN 'tank' WHEN n % 2 = 0 THEN 'mage' END,
            halved(n), moment(n)
        FROM generate_series(1, {rows}) n
    """,
    "ingredients": """
        INSERT INTO ingredients (pk, reference, name, description, created_at)
        SELECT key(n), 'ref' || n,
            CASE WHEN n % 2 = 0 THEN 'salt' ELSE 'ingredient ' || shuffled(n) END,
            'everywhere word' || n, moment(n)
        FROM generate_series(1, {rows}) n
    """,
    "potions": """
        INSERT INTO potions (pk, reference, name, description, created_at)
        SELECT key(n), 'ref' || n,
            CASE WHEN n % 2 = 0 THEN 'tea' ELSE 'potion ' || shuffled(n) END,
            'everywhere word' || n, moment(n)
        FROM generate_series(1, {rows}) n
    """,
    "potion_ingredients": """
        INSERT INTO potion_ingredients (potion_id, position, ingredient_id)
        SELECT key(n), line, key(CASE WHEN line = 0 THEN 1
            ELSE 2 + (n * 31 + line * 17) % ({rows} / 2) END)
        FROM generate_series(1, {rows}) n, generate_series(0, 2) line
    """,
    "stores": """
        INSERT INTO stores
            (pk, reference, owner_id, name, street, zipcode, city, country, currency, created_at)
        SELECT key(n), 'ref' || n,
            CASE WHEN n < 20 THEN key(n) ELSE halved(n) END, 'store ' || shuffled(n),
            'everywhere word' || n, '1000',
            CASE WHEN n % 2 = 0 THEN 'Brassel' ELSE 'city ' || n % ({rows} / 20) END,
            CASE WHEN n % 4 < 2 THEN 'Belgium' ELSE 'country ' || n % ({rows} / 20) END,
            CASE WHEN n > {rows} - 20 THEN 'ISK' WHEN n % 2 = 0 THEN 'EUR' ELSE 'USD' END,
            moment(n)
        FROM generate_series(1, {rows}) n
    """,
    "products": """
        INSERT INTO products
            (pk, reference, store_id, currency, potion_id, name, description, price, stock,
            created_at)
        SELECT key(n), 'ref' || n, stores.pk, currency, halved(n / 2), 'product ' || shuffled(n),
            'everywhere word' || n,
            round(shuffled(shuffled(n)) * 1000.0 / {rows},
                CASE currency WHEN 'ISK' THEN 0 ELSE 2 END),
            CASE WHEN n > {rows} - 20 THEN 0 WHEN n % 3 > 0 THEN n END, moment(n)
        FROM generate_series(1, {rows}) n JOIN stores ON stores.pk = halved(n)
    """,
    # Few can still be used; of the others half are used up and half are too old.
    "coupons": """
        INSERT INTO coupons
            (pk, reference, code, init_count, remaining_count, used_before, valid_until, created_at)
        SELECT key(n), 'ref' || n, 'code ' || shuffled(n), 1,
            CASE WHEN used THEN 0 ELSE 1 END, CASE WHEN used THEN 1 ELSE 0 END,
            CASE WHEN n <= {rows} - 20 AND NOT used THEN moment(0) END, moment(n)
        FROM generate_series(1, {rows}) n, LATERAL (SELECT n <= {rows} - 20 AND n % 2 = 0) s (used)
    """,
    "redemptions": """
        INSERT INTO redemptions (pk, coupon_id, user_id, created_at)
        SELECT key(n), halved(n), halved(n / 2), moment(n)
        FROM generate_series(1, {rows}) n
    """,
    "orders": """
        INSERT INTO orders (pk, user_id, status, placed_at, created_at, totals)
        SELECT key(n), halved(n),
            CASE WHEN n > {rows} - 20 THEN 'paid' WHEN n > {rows} * 0.95 THEN 'placed'
                WHEN n % 10 = 0 THEN 'cancelled' ELSE 'fulfilled' END,
            moment(n), moment(n), '[]'
        FROM generate_series(1, {rows}) n
    """,
    # One product is in half of the orders. Those of even numbers are of one store.
    "order_items": """
        INSERT INTO order_items
            (order_id, position, product_id, store_id, name, quantity, taken, currency, unit_price,
            discount, total)
        SELECT key(n), line, products.pk, store_id, name, 1, 0, 'EUR', 1, 0, 1
        FROM generate_series(1, {rows}) n CROSS JOIN generate_series(0, 1) line
        JOIN products ON products.pk = key(CASE WHEN line = 1 THEN 3 + n * 37 % ({rows} / 2 - 3) * 2
            WHEN n % 2 = 0 THEN 1 ELSE 2 + n * 31 % ({rows} / 2 - 3) * 2 END)
    """,
    "audit_log": """
        INSERT INTO audit_log (pk, resource, resource_pk, action, fields, user_id, created_at)
        SELECT key(n),
            CASE WHEN n > {rows} - 20 THEN 'coupons' WHEN n % 2 = 0 THEN 'orders'
                ELSE 'potions' END,
            halved(n / 2), 'create', '{{}}', halved(n), moment(n)
        FROM generate_series(1, {rows}) n
    """,
}


def key(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"


def fill(connection: Connection, rows: int) -> None:
    """Fill every table and analyze it, on a connection in AUTOCOMMIT."""
    with without_indexes(connection), derived_by_triggers(connection):
        for statement in (FUNCTIONS, *TABLES.values()):
            connection.execute(text(statement.format(rows=rows).replace(":", r"\:")))
    connection.execute(text("VACUUM ANALYZE"))


@contextmanager
def derived_by_triggers(connection: Connection) -> Iterator[None]:
    """Let triggers set the derived columns; each text, in lower case, is its own sort key.

    Every row was last changed when it was created.
    """
    tables = [table for table in Base.metadata.tables.values() if "updated_at" in table.c]
    for table in tables:
        connection.exec_driver_sql(
            f"CREATE FUNCTION derive_{table.name}() RETURNS trigger LANGUAGE plpgsql"
            f" AS $$ BEGIN {_assignments(table)} RETURN NEW; END $$;"
            f"CREATE TRIGGER derive BEFORE INSERT ON {table.name}"
            f" FOR EACH ROW EXECUTE FUNCTION derive_{table.name}();"
            f"ALTER TABLE {table.name} ENABLE ALWAYS TRIGGER derive"
        )
    yield
    for table in tables:
        connection.exec_driver_sql(f"DROP FUNCTION derive_{table.name} CASCADE")


def _assignments(table: Table) -> str:
    values = {"updated_at": "NEW.created_at"}
    for column in filter(is_derived, table.c):
        _derive, sources = column.info["derived"]
        source = ", ".join(f"NEW.{name}" for name in sources)
        is_words = column.name == "search_words"
        values[column.name] = f"words(concat_ws(' ', {source}))" if is_words else source
    return " ".join(f"NEW.{name} := {value};" for name, value in values.items())


@contextmanager
def without_indexes(connection: Connection) -> Iterator[None]:
    """Create the indexes without a constraint after the rows: this takes half as long."""
    found = "SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE '%\\_idx'"
    indexes = connection.execute(text(found)).all()
    for name, _definition in indexes:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    yield
    for _name, definition in indexes:
        connection.exec_driver_sql(definition)
