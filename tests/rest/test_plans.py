"""The cost of a page: the same at any depth, and an index behind every filter."""

import re

import pytest
from sqlalchemy import NullPool, create_engine, text

from alchemist import paging
from alchemist.potions.models import Potion
from alchemist.stores.schemas import CURRENCIES
from tests.rest import plans

ROWS = 20_000
FILL = """
    INSERT INTO ingredients (pk, name, description, created_at)
    SELECT key(n), 'ingredient ' || n % 3000, CASE WHEN n % 2 = 0 THEN 'word' || n END, moment(n)
    FROM generate_series(1, {rows} / 10) n;
    INSERT INTO potions (pk, name, description, created_at)
    SELECT key(n), 'potion ' || n % 7000, 'word' || n, moment(n)
    FROM generate_series(1, {rows}) n;
    INSERT INTO potion_ingredients (potion_id, position, ingredient_id)
    SELECT key(n), line, key(1 + (n * 31 + line * 17) % ({rows} / 10))
    FROM generate_series(1, {rows}) n, generate_series(0, 4) line;
"""
# A hundred merchants with five stores each; what is dear, sold out, paid or redeemed is rare.
MARKET = """
    INSERT INTO users (pk, email, full_name, role)
    SELECT key(n), 'user' || n || '@alchemist.example', 'User', 'merchant'
    FROM generate_series(1, 100) n;
    INSERT INTO stores
        (pk, owner_id, name, street, zipcode, city, country, currency, created_at)
    SELECT key(n), key(1 + n % 100), 'store ' || n % 3000, 'street' || n, '1000',
        'city ' || n % 500, 'country ' || n % 200,
        (ARRAY{currencies})[1 + n % 150],
        moment(n)
    FROM generate_series(1, {rows} / 10) n;
    INSERT INTO products
        (pk, store_id, potion_id, name, description, price, stock, created_at)
    SELECT key(n), key(1 + n % ({rows} / 10)), key(1 + n % 5000), 'product ' || n, 'word' || n,
        n % 7000, CASE WHEN n % 500 = 0 THEN 0 WHEN n % 3 > 0 THEN n END, moment(n)
    FROM generate_series(1, {rows}) n;
    INSERT INTO coupons (pk, code, init_count, remaining_count, used_before, created_at)
    SELECT key(n), 'code ' || n, 9, CASE WHEN n % 500 = 0 THEN 1 ELSE 0 END,
        CASE WHEN n % 500 = 0 THEN 8 ELSE 9 END, moment(n)
    FROM generate_series(1, {rows}) n;
    INSERT INTO redemptions (pk, coupon_id, user_id, created_at)
    SELECT key(n), key(1 + n % 500), key(1 + n % 100), moment(n)
    FROM generate_series(1, {rows}) n;
    INSERT INTO orders (pk, user_id, status, placed_at, created_at, totals)
    SELECT key(n), key(1 + n % 100),
        CASE WHEN n % 500 = 0 THEN 'paid' ELSE
            (ARRAY['placed', 'fulfilled', 'cancelled'])[1 + n % 3] END,
        moment(n), moment(n), '[]'
    FROM generate_series(1, {rows}) n;
    INSERT INTO order_items
        (order_id, position, product_id, quantity, taken, currency, unit_price, discount, total)
    SELECT key(n), line, key(1 + (n * 31 + line * 17) % {rows}), 1, 0, 'EUR', 1, 0, 1
    FROM generate_series(1, {rows}) n, generate_series(0, 2) line;
"""
FUNCTIONS = """
    CREATE FUNCTION key(n bigint) RETURNS uuid LANGUAGE sql
        AS $$ SELECT lpad(to_hex(n), 32, '0')::uuid $$;
    CREATE FUNCTION moment(n bigint) RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT '2026-01-01'::timestamptz + n % 9000 * interval '1 minute' $$;
"""
SORTS = ["pk", "-pk", "name", "-name", "created_at", "-created_at"]
LISTS = ["ingredients", "potions"]
BY_CREATION = ["pk", "-pk", "created_at", "-created_at"]
REDEMPTIONS = "coupons/00000000-0000-0000-0000-000000000007/redemptions"
PAGES = {
    **dict.fromkeys((*LISTS, "stores"), SORTS),
    "products": [*SORTS, "price", "-price"],
    "coupons": [*BY_CREATION, "code", "-code"],
    "orders": ["pk", "-pk", "placed_at", "-placed_at"],
}
LINK = re.compile(r'<([^>]*)>; rel="next"')


def key(number):
    return f"00000000-0000-0000-0000-{number:012x}"


@pytest.fixture(scope="module")
def filled(module_database):
    """A database with many rows and fresh statistics."""
    engine = create_engine(module_database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(FUNCTIONS.replace(":", r"\:")))
        connection.execute(text((FILL + MARKET).format(rows=ROWS, currencies=CURRENCIES)))
        # A sample of every row: plans that hang on chance would make tests that do.
        connection.execute(text("SET default_statistics_target = 1000"))
        connection.execute(text("VACUUM ANALYZE"))
    return module_database


@pytest.fixture(scope="module")
def app(module_app, filled):
    return module_app


@pytest.fixture
def plan(app, filled):
    """Return the plans of a GET, for its values and for any; statements before it are settings."""
    client = app.test_client()

    def explain(path, *statements):
        def get():
            assert client.get(path).status_code == 200

        found = plans.recorded(get)
        with create_engine(filled, poolclass=NullPool).connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
            return [plans.custom(connection, *found), plans.generic(connection, *found)]

    return explain


def second_page(app, path):
    return LINK.search(app.test_client().get(path).headers["Link"])[1]


@pytest.mark.parametrize(
    ("kind", "sort"), [(kind, sort) for kind, sorts in PAGES.items() for sort in sorts]
)
@pytest.mark.parametrize("continued", [False, True])
def test_a_page_is_read_from_an_index_in_its_order(app, plan, kind, sort, continued):
    path = f"/api/v2/{kind}?sort={sort}&limit=50"
    url = second_page(app, path) if continued else path
    for found in plan(url):
        assert f"on {kind}" in found, found
        assert "Seq Scan" not in found, found
        # The page itself may be sorted, its 201 rows at most; the table never is.
        [scan] = [line for line in found.splitlines() if f" on {kind}" in line and "Index" in line]
        assert_unsorted_below_its_limit(found, scan)
        assert ("Index Cond" in found.split(scan)[1].splitlines()[1]) is continued, found


def assert_unsorted_below_its_limit(found, scan):
    """Between the index of the list and the first Limit above it nothing sorts or hashes."""
    above = found.split(scan)[0].splitlines()
    nodes = []
    depth = len(scan) - len(scan.lstrip())
    for line in reversed(above):
        indent = len(line) - len(line.lstrip())
        if "->" in line and indent < depth:
            depth = indent
            nodes.append(line)
            if "Limit" in line:
                break
    assert nodes, found
    assert "Limit" in nodes[-1], found
    assert not [node for node in nodes if "Sort" in node or "Hash" in node], found


FILTERS = {
    "ingredients?name=ingredient 7": "ingredients_name_pk_idx",
    "ingredients?q=word7": "ingredients_words_idx",
    "potions?name=potion 7": "potions_name_pk_idx",
    "potions?q=word7": "potions_words_idx",
    f"potions?ingredient={key(7)}": "potion_ingredients_ingredient_id_idx",
    f"potions?ingredient={key(7)},{key(24)}": "potion_ingredients_ingredient_id_idx",
    f"potions?brewable_with={key(7)},{key(24)}": "potion_ingredients_ingredient_id_idx",
    "stores?city=city 7": "stores_city_pk_idx",
    "stores?country=country 7": "stores_country_pk_idx",
    "stores?currency=CHF": "stores_currency_pk_idx",
    f"stores?owner_id={key(7)}": "stores_owner_id_pk_idx",
    "stores?q=street7": "stores_words_idx",
    f"products?store_id={key(7)}": "products_store_id_pk_idx",
    f"products?potion_id={key(7)}": "products_potion_id_pk_idx",
    "products?min_price=6990&sort=price": "products_price_pk_idx",
    "products?max_price=7&sort=price": "products_price_pk_idx",
    "products?min_price=7&max_price=8&sort=-price": "products_price_pk_idx",
    "products?in_stock=false": "products_in_stock_pk_idx",
    "products?q=word7": "products_words_idx",
    "coupons?code=CODE 7": "coupons_code_key",
    "coupons?active=true": "coupons_is_left_pk_idx",
    f"orders?user_id={key(7)}": "orders_user_id_pk_idx",
    f"orders?product_id={key(7)}": "order_items_product_id_idx",
    "orders?placed_after=2026-01-07T00:00:00Z&sort=placed_at": "orders_placed_at_pk_idx",
    "orders?placed_before=2026-01-01T00:09:00Z&sort=-placed_at": "orders_placed_at_pk_idx",
    # One of two: a few rows are sorted as fast as they are read in order.
    REDEMPTIONS: "redemptions_coupon_id_",
    f"{REDEMPTIONS}?sort=created_at": "redemptions_coupon_id_created_at_pk_idx",
}


@pytest.mark.parametrize(("query", "index"), FILTERS.items(), ids=FILTERS)
def test_a_filter_has_an_index(plan, query, index):
    for found in plan(f"/api/v2/{query}", "SET LOCAL enable_seqscan = off"):
        assert index in found, found


RARE = {
    "products?min_price=7&max_price=8": "products_price_pk_idx",
    "orders?status=paid": "orders_status_pk_idx",
}


@pytest.mark.parametrize(("query", "index"), RARE.items(), ids=RARE)
def test_values_that_are_known_to_be_rare_are_found_by_their_index(plan, query, index):
    """Without the values, a walk along the keys is believed to meet enough of them soon."""
    custom, _ = plan(f"/api/v2/{query}")
    assert index in custom, custom


@pytest.mark.parametrize("kind", PAGES)
def test_an_item_is_read_from_its_key(plan, kind):
    for found in plan(f"/api/v2/{kind}/{key(7)}"):
        assert f"Index Scan using {kind}_pkey" in found, found
        assert "Seq Scan" not in found, found


@pytest.mark.parametrize("sort", [*SORTS, "name,-created_at", "-created_at,name", "-name,pk"])
def test_the_last_page_reads_as_few_blocks_as_the_first(app, filled, sort):
    """Counted by PostgreSQL, so that no clock decides."""
    client = app.test_client()
    start = f"/api/v2/potions?sort={sort}&limit=50"
    order = parsed(sort)
    opposite = ",".join(f"{'' if key.descending else '-'}{key.name}" for key in order)
    # The 51st row from the other end stands right before the last page.
    turned = client.get(f"/api/v2/potions?sort={opposite}&limit=51").json[-1]
    pages = [second_page(app, start), cursor_behind(turned, sort, order)]
    first, last = (blocks(app, filled, page) for page in pages)
    assert last <= first * 1.2, (first, last)
    assert len(client.get(pages[1]).json) == 50
    assert 'rel="next"' not in client.get(pages[1]).headers["Link"]


def parsed(sort):
    return paging.Sort(Potion.pk, Potion.name, Potion.created_at).deserialize(sort)


def cursor_behind(row, sort, order):
    values = [row[key.name] for key in order]
    cursor = paging._encode(values, "/api/v2/potions []", order)
    return f"/api/v2/potions?sort={sort}&limit=50&cursor={cursor}"


def blocks(app, url, path):
    """Return how many blocks of tables and indexes a GET reads."""
    client = app.test_client()
    statement, parameters = plans.recorded(lambda: client.get(path))
    with create_engine(url, poolclass=NullPool).connect() as connection:
        explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) {statement}"
        plan = connection.exec_driver_sql(explain, dict(parameters)).scalars().all()
    top = next(line for line in plan if "Buffers:" in line)
    return sum(map(int, re.findall(r"(?:hit|read)=(\d+)", top)))
