"""Filters and sort keys of the list of products."""

import re

import pytest

from tests.factories import make_order, make_potion, make_product, make_store

URL = "/api/v2/products"


@pytest.fixture
def list_names(client_with_auth):
    """Return a function that lists the names of the products that match a query."""

    def call(**query):
        answer = client_with_auth.get(URL, query_string=query)
        assert answer.status_code == 200, answer.text
        return [product["name"] for product in answer.json]

    return call


def test_list_filters_by_store(list_names):
    store = make_store()
    make_product(store, name="Here")
    make_product(name="Elsewhere")
    assert list_names(store_id=str(store.pk)) == ["Here"]


def test_list_filters_by_potion(list_names):
    potion = make_potion()
    make_product(name="Small bottle", potion_id=potion.pk)
    make_product(name="Large bottle", potion_id=potion.pk)
    make_product(name="Another potion", potion_id=make_potion().pk)
    make_product(name="No potion")
    assert list_names(potion_id=str(potion.pk)) == ["Small bottle", "Large bottle"]


def test_a_potion_without_products_gives_an_empty_list(list_names):
    make_product()
    assert list_names(potion_id=str(make_potion().pk)) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"min_price": "10"}, ["10.00", "10.01", "20.00"]),
        ({"max_price": "10.00"}, ["9.99", "10.00"]),
        ({"min_price": "10", "max_price": "10"}, ["10.00"]),
        ({"min_price": "10.01", "max_price": "19.99"}, ["10.01"]),
        ({"min_price": "20", "max_price": "10"}, []),
        ({"max_price": "0"}, []),
    ],
)
def test_price_bounds_are_inclusive(list_names, query, expected):
    for price in ("9.99", "10.00", "10.01", "20.00"):
        make_product(name=price, price=price)
    assert list_names(**query) == expected


@pytest.mark.parametrize(
    ("in_stock", "expected"), [("true", ["One", "Unlimited"]), ("false", ["No"])]
)
def test_in_stock_includes_an_unlimited_stock(list_names, in_stock, expected):
    for name, stock in {"No": 0, "One": 1, "Unlimited": None}.items():
        make_product(name=name, stock=stock)
    assert list_names(in_stock=in_stock) == expected


def test_a_product_whose_last_piece_is_ordered_is_not_in_stock(list_names):
    product = make_product(name="Last", stock=1)
    make_order(product)
    assert list_names(in_stock="true") == []
    assert list_names(in_stock="false") == ["Last"]


@pytest.mark.parametrize("q", ["apology", "SEALED apology", "yellow"])
def test_q_matches_words_of_name_and_description_in_any_order_and_case(list_names, q):
    make_product(name="Apology", description="Sealed with yellow wax.")
    make_product(name="Excuse")
    assert list_names(q=q) == ["Apology"]


@pytest.mark.parametrize("q", ["pology", "apology red"])
def test_q_must_match_the_beginning_of_all_words(list_names, q):
    make_product(name="Apology", description="Sealed with yellow wax.")
    assert list_names(q=q) == []


def test_filters_are_combined(list_names):
    store, potion = make_store(), make_potion()
    matching = {"potion_id": potion.pk, "price": "10", "stock": 1}
    make_product(store, name="Matching apology", **matching)
    make_product(name="Elsewhere apology", **matching)
    make_product(store, name="Other apology", **matching | {"potion_id": None})
    make_product(store, name="Dear apology", **matching | {"price": "11"})
    make_product(store, name="Cheap apology", **matching | {"price": "9"})
    make_product(store, name="Gone apology", **matching | {"stock": 0})
    make_product(store, name="Excuse", **matching)
    query = {
        "store_id": str(store.pk),
        "potion_id": str(potion.pk),
        "min_price": "10",
        "max_price": "10",
        "in_stock": "true",
        "q": "apology",
    }
    assert list_names(**query) == ["Matching apology"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("store_id=x", "store_id"),
        ("potion_id=", "potion_id"),
        ("min_price=-1", "min_price"),
        ("min_price=1.99999", "min_price"),
        ("max_price=1e2", "max_price"),
        ("max_price=", "max_price"),
        ("max_price=NaN", "max_price"),
        ("in_stock=1", "in_stock"),
        ("in_stock=True", "in_stock"),
        ("in_stock=", "in_stock"),
        ("in_stock=true&in_stock=false", "in_stock"),
        ("q=", "q"),
        ("name=Apology", "name"),
        ("price=10", "price"),
        ("stock=1", "stock"),
        ("sort=stock", "sort"),
        ("sort=currency", "sort"),
        ("sort=store_id", "sort"),
    ],
)
def test_an_invalid_query_parameter_is_422_with_its_name(client_with_auth, query, parameter):
    answer = client_with_auth.get(f"{URL}?{query}")
    assert answer.status_code == 422
    assert {error["parameter"] for error in answer.json["errors"]} == {parameter}


PRICES = ["10", "2", "2.00", "0.5", "9999999999.99"]


@pytest.mark.parametrize(
    "sort", ["name", "-name", "price", "-price", "price,-name", "created_at", "-created_at", "-pk"]
)
def test_every_sort_key_pages_through_all_products(client_with_auth, sort):
    store = make_store()
    created = [make_product(store, name=n, price=p) for n, p in zip("cabed", PRICES, strict=True)]
    url, listed = f"{URL}?store_id={store.pk}&limit=2&sort={sort}", []
    while url:
        answer = client_with_auth.get(url)
        listed += answer.json
        next_link = re.search('<([^>]+)>; rel="next"', answer.headers["Link"])
        url = next_link and next_link[1]
    assert sorted(product["pk"] for product in listed) == sorted(
        str(product.pk) for product in created
    )
    key = sort.split(",")[0].removeprefix("-")
    if key in ("name", "price"):
        values = [float(product[key]) if key == "price" else product[key] for product in listed]
        assert values == sorted(values, reverse=sort.startswith("-"))


def test_products_of_equal_price_are_sorted_by_the_next_key(client_with_auth):
    store = make_store()
    for name in "cab":
        make_product(store, name=name)
    answer = client_with_auth.get(f"{URL}?store_id={store.pk}&sort=price,-name")
    assert [product["name"] for product in answer.json] == ["c", "b", "a"]


def test_a_list_is_one_statement_for_any_number_of_stores(client_with_auth, statements):
    for _ in range(3):
        make_product(potion_id=make_potion().pk)
    client_with_auth.get(URL)
    with statements() as executed:
        assert len(client_with_auth.get(f"{URL}?count=exact").json) == 3
    assert len(executed) == 1
