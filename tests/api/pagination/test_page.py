"""Keyset pages: every row once and in order, and no cursor but this list's own."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations

import httpx
import pytest
import requests
from sqlalchemy import select, text
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.api import pagination
from alchemist.api.pagination.cursor import SEPARATOR, _checksum
from alchemist.api.trusted_proxies import TrustedProxies
from alchemist.domains.ingredients.models import Ingredient
from tests.factories import (
    make_coupon,
    make_ingredient,
    make_order,
    make_potion,
    make_product,
    make_store,
)

URL = "/api/v2/ingredients"
KEYS = ("pk", "name", "created_at")
LINK = re.compile(r'<([^>]*)>; rel="(\w+)"')
NAMES = ["b", "a", "b", "a", "B", "é", "z", "a", "", "b b", "😀", "b"]


def sorts():
    """Yield every sort that there is, one key to three, in every mix of directions."""
    for count in range(1, len(KEYS) + 1):
        for keys in permutations(KEYS, count):
            for number in range(2**count):
                signs = ["-" if number >> i & 1 else "" for i in range(count)]
                yield ",".join(f"{sign}{key}" for sign, key in zip(signs, keys, strict=True))


def links(answer):
    return {relation: url for url, relation in LINK.findall(answer.headers["Link"])}


def walk(client, url, limit=100):
    """Follow `next` as it is; return the rows of each page."""
    pages = []
    while url:
        answer = client.get(url)
        assert answer.status_code == 200, answer.json
        pages.append(answer.json)
        url = links(answer).get("next")
        assert len(pages) < limit
    return pages


def ordered(sort):
    """Return the keys of all rows as PostgreSQL sorts them, the pk in the last key's direction."""
    parts = sort.split(",")
    if "pk" not in {part.removeprefix("-") for part in parts}:
        parts.append("-pk" if parts[-1].startswith("-") else "pk")
    table = Ingredient.__table__
    columns = [db.sort_column(table, part.removeprefix("-")) for part in parts]
    directed = [
        column.desc() if part.startswith("-") else column.asc()
        for column, part in zip(columns, parts, strict=True)
    ]
    return [str(pk) for pk in db.session.scalars(select(Ingredient.pk).order_by(*directed))]


@pytest.fixture
def rows(client):
    """Rows with ties in every column but the key, made in no order."""
    moments = [datetime(2026, 11, 20, 7, minute % 3, tzinfo=UTC) for minute in range(len(NAMES))]
    keys = sorted((uuid7() for _ in NAMES), key=lambda pk: hash((pk, "shuffled")))
    for pk, name, created in zip(keys, NAMES, moments, strict=True):
        make_ingredient(pk=pk, name=name or "a", created_at=created)


@pytest.mark.parametrize("sort", list(sorts()))
def test_every_sort_walks_every_row_once_in_order(client, rows, sort):
    for size in (1, 2, 3, 5, len(NAMES), 200):
        pages = walk(client, f"{URL}?sort={sort}&limit={size}")
        assert [row["pk"] for page in pages for row in page] == ordered(sort)
        assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
        assert pages[-1]


def test_a_list_is_in_creation_order_by_default(client):
    made = [str(make_ingredient().pk) for _ in range(5)]
    assert [row["pk"] for row in client.get(URL).json] == made


def test_fifty_rows_make_a_page_by_default(client):
    for _ in range(51):
        make_ingredient()
    assert [len(page) for page in walk(client, URL)] == [50, 1]


@pytest.mark.parametrize("limit", [1, 200])
def test_a_page_has_1_to_200_rows(client, limit):
    for _ in range(201):
        make_ingredient()
    assert len(client.get(f"{URL}?limit={limit}").json) == limit


def test_a_full_last_page_has_no_next(client):
    for _ in range(4):
        make_ingredient()
    assert [len(page) for page in walk(client, f"{URL}?limit=2")] == [2, 2]


def test_an_empty_list_has_a_first_page_and_no_next(client):
    answer = client.get(URL)
    assert answer.json == []
    assert links(answer) == {"first": f"http://localhost{URL}"}


def test_links_are_relative_behind_a_proxy_that_is_not_trusted(client_with_auth):
    answer = client_with_auth.get(URL, headers={"Via": "1.1 proxy"})
    assert links(answer) == {"first": URL}


def test_links_have_the_scheme_and_host_that_a_trusted_proxy_reports(client_with_auth, monkeypatch):
    proxies = TrustedProxies(["127.0.0.0/8"])
    monkeypatch.setitem(client_with_auth.application.extensions, "trusted_proxies", proxies)
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"}
    answer = client_with_auth.get(URL, headers=headers)
    assert links(answer) == {"first": f"https://shop.example{URL}"}


def test_links_have_the_host_of_a_target_in_absolute_form(client):
    environ = {"RAW_URI": f"http://127.0.0.1:81{URL}", "HTTP_HOST": "localhost"}
    answer = client.get(URL, environ_overrides=environ)
    assert links(answer) == {"first": f"http://127.0.0.1:81{URL}"}


@pytest.mark.parametrize("http", [requests, httpx])
def test_clients_follow_links_without_resolving_them(gunicorn, http):
    for name in "abc":
        sent = {"Content-Type": "application/json"}
        gunicorn.request("POST", URL, json.dumps({"name": name}), **sent)
    url, names = f"http://127.0.0.1:{gunicorn.port}{URL}?limit=2", []
    while url:
        answer = http.get(url)
        names += [row["name"] for row in answer.json()]
        url = answer.links.get("next", {}).get("url")
    assert names == ["a", "b", "c"]


def test_links_keep_the_parameters_and_can_be_followed_as_they_are(client):
    for name in ["a&b=c d+e", "é#/?%"]:
        for _ in range(3):
            make_ingredient(name=name)
    query = {"name": "a&b=c d+e", "limit": "2", "sort": "-created_at", "count": "exact"}
    first = client.get(URL, query_string=query)
    second = client.get(links(first)["next"])
    assert links(second)["first"] == links(first)["first"]
    assert client.get(links(second)["first"]).json == first.json
    assert [len(first.json), len(second.json)] == [2, 1]
    assert second.headers["X-Total-Count"] == "3"
    assert {row["name"] for row in first.json + second.json} == {"a&b=c d+e"}


def test_a_cursor_may_go_on_with_another_limit(client, rows):
    url = links(client.get(f"{URL}?sort=name&limit=5"))["next"]
    rest = client.get(url.replace("limit=5", "limit=200")).json
    assert [row["pk"] for row in rest] == ordered("name")[5:]


@pytest.mark.parametrize(("query", "total"), [("", "12"), ("&limit=1", "12"), ("&name=a", "4")])
def test_only_count_exact_counts(client, rows, query, total):
    assert client.get(f"{URL}?count=exact{query}").headers["X-Total-Count"] == total
    assert "X-Total-Count" not in client.get(f"{URL}?{query}").headers


def test_a_walk_meets_every_row_that_stays_once_while_others_come_and_go(client):
    stable = [str(make_ingredient(name=f"m{n:02}").pk) for n in range(20)]
    passing = [make_ingredient(name=f"m{n:02}-passing").pk for n in range(20)]
    met, url = [], f"{URL}?sort=name&limit=3"
    while url:
        answer = client.get(url)
        met += [row["pk"] for row in answer.json]
        url = links(answer).get("next")
        make_ingredient(name="a")
        make_ingredient(name=answer.json[-1]["name"] + "!")
        if passing:
            gone = passing.pop()
            client.delete(f"{URL}/{gone}", headers={"If-Match": "*"})
    assert len(met) == len(set(met))
    assert [pk for pk in met if pk in set(stable)] == stable


@pytest.fixture
def cursor(client, rows):
    """The cursor behind the second row by name."""
    url = links(client.get(f"{URL}?sort=name&limit=2"))["next"]
    return url.rpartition("cursor=")[2]


def refused(answer):
    if answer.status_code != 400:
        return False
    [entry] = answer.json["errors"]
    return (entry["parameter"], entry["code"]) == ("cursor", "invalid-cursor")


@pytest.mark.parametrize(
    "other",
    [
        f"{URL}?limit=2",
        f"{URL}?sort=-name",
        f"{URL}?sort=name,-pk",
        f"{URL}?sort=created_at",
        f"{URL}?sort=name&name=a",
        f"{URL}?sort=name&q=a",
        "/api/v2/potions?sort=name",
    ],
)
def test_a_cursor_belongs_to_one_list_sort_and_filter(client, cursor, other):
    separator = "&" if "?" in other else "?"
    assert refused(client.get(f"{other}{separator}cursor={cursor}"))


def test_a_cursor_with_any_byte_changed_is_refused(client, cursor):
    accepted = []
    for index, letter in enumerate(cursor):
        for other in {"A", "z", "_", "!"} - {letter}:
            changed = f"{cursor[:index]}{other}{cursor[index + 1 :]}"
            if not refused(client.get(f"{URL}?sort=name&cursor={changed}")):
                accepted.append(changed)
    assert accepted == []


def test_a_cursor_that_was_cut_or_lengthened_is_refused(client, cursor):
    changed = [cursor[:cut] for cut in range(1, len(cursor))]
    changed += [cursor + more for more in ("=", "A", "AAAA", "%00", "%20")]
    for other in changed:
        assert refused(client.get(f"{URL}?sort=name&cursor={other}")), other


NONSENSE = [
    "",
    "%20",
    "%00",
    "a%00",
    "AAAA",
    "e30",
    "bnVsbA",
    "W10",
    "MQ",
    "%F0%9F%98%80",
    "=",
    "-",
]


@pytest.mark.parametrize("cursor", [*NONSENSE, "A" * 5000, "W" * 3999, "W1tb" * 900])
def test_nonsense_is_no_cursor(client, cursor):
    assert refused(client.get(f"{URL}?cursor={cursor}"))


PK = "01935f2e-7c1a-7b3e-9d3c-0123456789ab"
FORGED = {
    "name": [["a\0b", PK], ["a"], ["a", PK, PK], ["a", ""], []],
    "pk": [[""], ["x"], [PK, PK], [PK.upper() + "x"], []],
    "price": [["", PK], ["free", PK], ["1\0", PK], ["1,5", PK], ["1"]]
    + [[price, PK] for price in ("NaN", "-NaN", "sNaN", "Infinity", "1e5", "1e400", "1e999999")],
    "created_at": [["", PK], ["now", PK], ["2026-99-99", PK], ["infinity", PK], ["2026"]],
}


@pytest.mark.parametrize(
    ("sort", "values"), [(sort, values) for sort, all in FORGED.items() for values in all]
)
def test_a_forged_cursor_with_values_that_fit_no_column_is_refused(client, sort, values):
    """The fingerprint is no secret, so whoever reads the source can make one that fits."""
    order = (
        (pagination.SortKey(sort),)
        if sort == "pk"
        else (pagination.SortKey(sort), pagination.SortKey("pk"))
    )
    url = "/api/v2/products" if sort == "price" else URL
    assert refused(client.get(f"{url}?sort={sort}&cursor={forged(url, order, values)}"))


def forged(url, order, values):
    """Return a cursor with a valid fingerprint."""
    content = SEPARATOR.join([_checksum(f"{url} []", order, values), *values])
    return urlsafe_b64encode(content.encode()).decode().rstrip("=")


@pytest.mark.parametrize("price", ["-1", "0.001", "1" * 3000])
def test_a_forged_price_that_is_a_number_is_compared(client, price):
    make_product(price=Decimal(10))
    url, order = "/api/v2/products", (pagination.SortKey("price"), pagination.SortKey("pk"))
    answer = client.get(f"{url}?sort=price&cursor={forged(url, order, [price, PK])}")
    assert (answer.status_code, len(answer.json)) == (200, Decimal(price) < 10)


def test_the_forgery_of_these_tests_passes_with_fitting_values(client, cursor):
    _, *values = urlsafe_b64decode(cursor + "==").decode().split(SEPARATOR)
    assert forged(URL, (pagination.SortKey("name"), pagination.SortKey("pk")), values) == cursor


@pytest.mark.parametrize("sort", ["pk", "-name", "created_at"])
def test_potions_walk_like_ingredients(client, sort):
    made = {str(make_potion(name="ab"[n % 2]).pk) for n in range(7)}
    pages = walk(client, f"/api/v2/potions?sort={sort}&limit=2")
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    assert {row["pk"] for page in pages for row in page} == made


@pytest.mark.parametrize("sort", ["pk", "-name", "price", "-price", "price,-name", "-created_at"])
def test_products_walk_like_ingredients(client, sort):
    """Prices are exact: no two of them are taken for one, and none is passed over."""
    store = make_store()
    prices = ["0.01", "0.02", "9999999999.98", "9999999999.99", "0.01", "10", "2"]
    made = {str(make_product(store, name=f"{n}", price=price).pk) for n, price in enumerate(prices)}
    pages = walk(client, f"/api/v2/products?sort={sort}&limit=2")
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    rows = [row for page in pages for row in page]
    assert {row["pk"] for row in rows} == made
    if "price" in sort:
        walked = [Decimal(row["price"]) for row in rows]
        assert walked == sorted(walked, reverse=sort == "-price")


@pytest.mark.parametrize("kind", ["stores", "coupons", "orders"])
def test_the_rest_of_the_market_walks_likewise(client, kind):
    make = {"stores": make_store, "coupons": make_coupon, "orders": make_order}[kind]
    made = [str(make().pk) for _ in range(5)]
    last = "placed_at" if kind == "orders" else "created_at"
    for sort in ("pk", last):
        pages = walk(client, f"/api/v2/{kind}?sort={sort}&limit=2")
        assert [row["pk"] for page in pages for row in page] == made


def test_a_column_that_may_be_empty_is_no_sort_key():
    with pytest.raises(TypeError, match="must not be nullable"):
        pagination.Sort(Ingredient.pk, Ingredient.description)


@pytest.mark.parametrize("sort", list(sorts()))
def test_every_sort_walks_what_a_filter_finds_once_in_order(client, rows, sort):
    found = [str(row.pk) for row in db.session.scalars(select(Ingredient).filter_by(name="b"))]
    expected = [pk for pk in ordered(sort) if pk in found]
    for size in (1, 2, 200):
        pages = walk(client, f"{URL}?name=b&sort={sort}&limit={size}")
        assert [row["pk"] for page in pages for row in page] == expected


@pytest.mark.parametrize("sort", ["pk", "-pk", "placed_at", "-placed_at"])
def test_the_orders_of_a_product_are_walked_in_order(client, sort):
    product = make_product()
    made = [str(make_order(*wanted).pk) for wanted in ([product], [], [product], []) * 3]
    pages = walk(client, f"/api/v2/orders?product_id={product.pk}&sort={sort}&limit=2")
    assert [row["pk"] for page in pages for row in page] == made[::2][:: -1 if "-" in sort else 1]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("max_price=4&sort=-price", [4, 3, 2, 1]),
        ("min_price=2&sort=price", [2, 3, 4, 5]),
        ("min_price=2&max_price=4&sort=-price", [4, 3, 2]),
        ("min_price=2&max_price=4&sort=price,-pk", [2, 3, 4]),
    ],
)
def test_a_filter_of_the_sort_key_bounds_every_page(client, query, expected):
    for price in (3, 1, 5, 2, 4):
        make_product(price=Decimal(price))
    pages = walk(client, f"/api/v2/products?{query}&limit=1")
    assert [Decimal(row["price"]) for page in pages for row in page] == expected


def test_a_repeated_sort_is_the_same_order(client):
    for name in NAMES[:4]:
        make_ingredient(name=name or "x")
    joined = client.get(f"{URL}?sort=-name,pk").json
    assert client.get(f"{URL}?sort=-name&sort=pk").json == joined
    answer = client.get(f"{URL}?sort=name&sort=-name")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["code"] == "duplicate"


def test_a_cursor_does_not_escape_what_is_not_ascii(client):
    for _ in range(2):
        make_ingredient(name="😀" * 127)
    url = links(client.get(f"{URL}?sort=name&limit=1"))["next"]
    cursor = url.partition("cursor=")[2]
    assert len(cursor) < 1000
    [row] = client.get(url).json
    assert row["name"] == "😀" * 127


MANY = text(
    "INSERT INTO stores (pk, name, street, zipcode, city, country, currency)"
    " SELECT gen_random_uuid(), 'S', 'S', '1', 'C', 'C', 'EUR' FROM generate_series(1, :count)"
)


@pytest.mark.parametrize("query", ["", "&city=C"])
def test_a_count_ends_at_ten_thousand(client, query):
    """Whatever a list has beyond that is not read: a count costs the same in every table."""
    url = f"/api/v2/stores?limit=1&count=exact{query}"
    db.session.execute(MANY, {"count": 10_000})
    headers = client.get(url).headers
    assert (headers["X-Total-Count"], "X-Total-Count-Exceeded" in headers) == ("10000", False)
    db.session.execute(MANY, {"count": 1})
    headers = client.get(url).headers
    assert (headers["X-Total-Count"], headers["X-Total-Count-Exceeded"]) == ("10000", "true")


def test_a_count_reads_no_more_rows_than_it_counts(client, statements):
    db.session.execute(MANY, {"count": 30_000})
    with statements() as sent:
        client.get("/api/v2/stores?limit=1&count=exact")
    [statement] = sent
    plan = db.session.connection().exec_driver_sql(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", {"limit": 1, "limit_plus_one": 2}
    )
    [[node]] = plan.scalars()
    assert max(_rows_read(node["Plan"])) == 10_001


def _rows_read(node):
    yield node["Actual Rows"] * node["Actual Loops"]
    for child in node.get("Plans", ()):
        yield from _rows_read(child)
