"""The cost of a page: the same at any depth, and an index behind every filter and sort.

On 20,000 rows a table, of which PostgreSQL reads a part as `python -m tests.growth` shows for a
million; whatever reads a table to its end reads far more blocks than are allowed here.
"""

import re
from functools import cache

import pytest
from sqlalchemy import NullPool, create_engine, text

from alchemist.docs.example_values import resolve_ref
from tests.api.pagination import plans
from tests.growth import rows
from tests.growth.lists import HALF, LISTS, LONG_AGO, SOON
from tests.growth.measure import GENERIC, Reader
from tests.growth.rows import key

pytestmark = pytest.mark.slow

ROWS = 20_000
# What a page may read beside what the first page of its list reads. To walk through a table is to
# read 400 blocks of it at least.
MORE = 200
# What a page of open orders may read beside one of closed orders: whether an order can be fulfilled
# depends on its items, which are on 4 blocks.
OPEN_ORDERS = 4 * 51
KINDS = [each.path for each in LISTS if "/" not in each.path]
# A user has no more tokens than they care to make.
SHORT = {"/api/v2/users/{user_id}/tokens"}
# What is brewable is found among all that contain one of the ingredients, which may be anything.
UNBOUNDED = f"brewable_with={HALF}"
SORTED = [(each, sort) for each in LISTS for sort in each.directed()]
FILTERED = [
    (each, query)
    for each in LISTS
    for query in (*each.filtered(), *each.together)
    if not query.startswith(UNBOUNDED)
]


def named(value):
    return value.path if hasattr(value, "path") else value


@pytest.fixture(scope="module")
def filled(module_database):
    """A database with many rows and fresh statistics."""
    engine = create_engine(module_database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # A sample of every row: plans that hang on chance would make tests that do.
        connection.execute(text("SET default_statistics_target = 1000"))
        rows.fill(connection, ROWS)
    return module_database


@pytest.fixture(scope="module")
def app(module_app, filled):
    return module_app


@pytest.fixture(scope="module")
def reader(app):
    return Reader(app)


@pytest.fixture(scope="module")
def plain(reader):
    """Return how many blocks the first page of a list reads."""
    return cache(lambda path, sort: reader.blocks(f"/api/v2/{path}?sort={sort}"))


@pytest.fixture
def both(app, reader):
    """Return the plans of a GET: the one for its values, and the one for any."""

    def explain(path):
        found = plans.recorded(lambda: reader.get(path))
        with app.extensions["engines"].autocommit.connect() as connection, connection.begin():
            return plans.custom(connection, *found), plans.generic(connection, *found)

    return explain


def is_planned_anew(reader, path):
    """Return whether a list is none that psycopg prepares after the fifth time."""
    engine = reader.app.extensions["engines"].autocommit
    statement, _parameters = plans.recorded(lambda: reader.warm_up(path, times=6))
    with engine.connect() as connection:
        prepared = connection.execute(GENERIC, {"text": plans.numbered(statement)[0]})
        return prepared.one_or_none() is None


@pytest.mark.parametrize(("each", "sort"), SORTED, ids=named)
@pytest.mark.parametrize("continued", [False, True])
def test_a_page_is_read_from_an_index_in_its_order(reader, both, each, sort, continued):
    path = f"/api/v2/{each.path}?sort={sort}&limit=50"
    if continued:
        path = LINK.search(reader.get(path).headers["Link"])[1]
    for found in both(path):
        assert "Seq Scan" not in found, found
        # The page itself may be sorted, its 201 rows at most; the table never is.
        [scan] = [
            line for line in found.splitlines() if re.search(f"Index.* on {each.table} ", line)
        ]
        assert_unsorted_below_its_limit(found, scan)


LINK = re.compile(r'<([^>]*)>; rel="next"')


def assert_unsorted_below_its_limit(found, scan):
    """Between the index of the list and the first Limit above it nothing sorts or hashes.

    But those rows that have one value in the first key.
    """
    above = found.split(scan)[0].splitlines()
    nodes = []
    depth = len(scan) - len(scan.lstrip())
    for line in reversed(above):
        indent = len(line) - len(line.lstrip())
        if "->" in line and indent < depth:
            depth = indent
            nodes.append(line.replace("Incremental Sort", ""))
            if "Limit" in line:
                break
    assert nodes, found
    assert "Limit" in nodes[-1], found
    assert not [node for node in nodes if "Sort" in node or "Hash" in node], found


@pytest.mark.parametrize(("each", "query"), FILTERED, ids=named)
def test_what_a_filter_finds_is_looked_up(reader, plain, each, query):
    """If it is rare; if it is frequent it is met soon, whatever the order of the list is."""
    for sort in (each.sorts[0], each.sorts[-1]):
        path = f"/api/v2/{each.path}?sort={sort}&{query}"
        shown = len(reader.get(path).json)
        most = plain(each.path, sort) * 1.5 * shown / 50 + MORE + _open_orders(each)
        assert reader.blocks(path) <= most, path


def _open_orders(each):
    return OPEN_ORDERS if each.path == "orders" else 0


# All rows have words that begin with the first ones; none has a word that begins with `z`.
PREFIXES = ("e", "ev", "eve", "w", "wo", "z", "zz", "zzz", "zzzz", "\u8336", "\u8336\u8449")
SEARCHED = [each for each in LISTS if "q" in each.filters]


@pytest.mark.parametrize("each", SEARCHED, ids=named)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_short_prefix_reads_as_few_blocks_as_its_page_has_rows(reader, plain, each, prefix):
    for sort in (each.sorts[0], each.sorts[-1]):
        path = f"/api/v2/{each.path}?sort={sort}&q={prefix}"
        shown = len(reader.get(path).json)
        assert reader.blocks(path) <= plain(each.path, sort) * 1.5 * shown / 50 + MORE / 4, path


@pytest.mark.parametrize("each", SEARCHED, ids=named)
@pytest.mark.parametrize("words", ["word7", "word7 everywhere", "zzz"])
def test_a_search_for_rare_words_uses_its_index(both, each, words):
    custom, _generic = both(f"/api/v2/{each.path}?q={words}")
    assert f"{each.table}_search_words_idx" in custom, custom


@pytest.mark.parametrize(("each", "query"), FILTERED, ids=named)
def test_no_filter_reads_a_whole_table(both, each, query):
    custom, _generic = both(f"/api/v2/{each.path}?{query}")
    assert "Seq Scan" not in custom, custom


LED = {
    "orders?status=paid": "orders_status_pk_idx",
    "orders?status=paid&sort=-placed_at": "orders_status_placed_at_pk_idx",
    "orders?status=fulfilled,paid": "orders_status_pk_idx",
    "orders?status=placed,paid&sort=-placed_at": "orders_status_placed_at_pk_idx",
    f"orders?user_id={HALF}&sort=placed_at": "orders_user_id_placed_at_pk_idx",
    f"orders?product_id={HALF}&sort=-pk": "order_items_product_id_order_id_idx",
    "users?role=admin": "users_role_pk_idx",
    "heroes?role=tank": "heroes_role_pk_idx",
    "stores?city=Brassel": "stores_city_pk_idx",
    f"products?store_id={HALF}&sort=-name": "products_store_id_name_sort_pk_idx",
    "products?in_stock=false": "products_in_stock_pk_idx",
    f"coupons/{HALF}/redemptions?sort=created_at": "redemptions_coupon_id_created_at_pk_idx",
    f"coupons/{HALF}/redemptions?sort=-updated_at": "redemptions_coupon_id_updated_at_pk_idx",
    f"audit?user_id={HALF}": "audit_log_user_id_pk_idx",
}


@pytest.mark.parametrize(("query", "index"), LED.items(), ids=LED)
def test_an_index_that_begins_with_the_filter_leads_through_the_list(reader, both, query, index):
    assert not is_planned_anew(reader, f"/api/v2/{query}")
    for found in both(f"/api/v2/{query}"):
        assert index in found, found


@pytest.mark.parametrize("query", ["q=word7", "sort=created_at&in_stock=true", "min_price=999"])
def test_a_list_that_no_index_leads_through_is_planned_for_its_values(reader, query):
    assert is_planned_anew(reader, f"/api/v2/products?{query}")


BOUNDS = {
    f"orders?placed_before={SOON}&sort=-placed_at": "(placed_at < ",
    f"orders?placed_after={LONG_AGO}&sort=placed_at": "(placed_at >= ",
    f"products?updated_after={LONG_AGO}&sort=updated_at": "(updated_at >= ",
    f"audit?updated_after={LONG_AGO}&sort=created_at": "(created_at >= ",
    "products?max_price=500&sort=-price": "(price <= ",
    "products?min_price=500&sort=price": "(price >= ",
}


@pytest.mark.parametrize(("query", "bound"), BOUNDS.items(), ids=BOUNDS)
def test_a_later_page_begins_at_its_cursor_and_not_at_the_bound_of_a_filter(
    reader, both, query, bound
):
    first = f"/api/v2/{query}"
    assert bound in both(first)[0]
    later = LINK.search(reader.get(first).headers["Link"])[1]
    assert bound not in both(later)[0]


def test_every_list_is_measured_with_all_of_its_filters_and_sorts(app):
    document = app.test_client().get("/api/v2/openapi.json").json
    described = document["paths"]
    pages = {
        path: {
            parameter["name"]: parameter
            for parameter in how["get"].get("parameters", [])
            if parameter["in"] != "header"
        }
        for path, how in described.items()
        if "get" in how
    }
    lists = {path: given for path, given in pages.items() if "cursor" in given}
    difference = lists.keys() ^ ({known(each) for each in LISTS} | SHORT)
    assert not difference, (
        f"{sorted(difference)}: add the list to LISTS in tests/growth/lists.py, and rows of its "
        "table to TABLES in tests/growth/rows.py."
    )
    for each in LISTS:
        given = lists[known(each)]
        keys = resolve_ref(given["sort"]["schema"]["items"], document)["enum"]
        assert {key.removeprefix("-") for key in keys} == set(each.sorts)
        assert given.keys() - {
            "limit",
            "cursor",
            "sort",
            "count",
            "fields",
            "expand",
            "coupon_id",
        } == set(each.filters)


def known(each):
    return f"/api/v2/{each.path}".replace(HALF, "{coupon_id}")


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_is_read_from_its_key(app, reader, kind):
    engine = app.extensions["engines"].autocommit
    found = plans.recorded(lambda: reader.get(f"/api/v2/{kind}/{key(7)}"))
    table = next(each.table for each in LISTS if each.path == kind)
    with engine.connect() as connection, connection.begin():
        for plan in (plans.custom(connection, *found), plans.generic(connection, *found)):
            assert f"Index Scan using {table}_pk" in plan, plan
            assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize(("each", "sort"), SORTED, ids=named)
def test_a_deep_page_reads_as_few_blocks_as_the_first(reader, each, sort):
    """Counted by PostgreSQL, so that no clock decides."""
    assert_flat(reader, each, sort, "")


@pytest.mark.parametrize("each", LISTS, ids=named)
def test_a_deep_page_of_what_is_frequent_reads_as_few_blocks_as_the_first(reader, each):
    for query, _rare in each.pairs():
        if not query.startswith(UNBOUNDED):
            assert_flat(reader, each, f"-{each.sorts[0]}", query)


@pytest.mark.parametrize("sort", ["name,-created_at", "-created_at,name", "-name,pk"])
def test_a_deep_page_of_a_mixed_sort_reads_as_few_blocks_as_the_first(reader, sort):
    """Half of the potions have one name: a sort by name first reads all of these to sort them."""
    assert_flat(
        reader, LISTS[1], sort, "", more=MORE * 3 if sort == "name,-created_at" else MORE / 2
    )


def assert_flat(reader, each, sort, query, more=MORE / 2):
    first, *others = reader.depths(f"/api/v2/{each.path}", sort, query, ROWS // 2)
    most = first * 1.3 + more + _open_orders(each)
    assert all(blocks <= most for blocks in others), (query, first, others)
