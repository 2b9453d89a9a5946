"""Lists of stores: filters and sort keys."""

import pytest

from tests.answers import read_all_pages
from tests.factories import make_store, make_user

URL = "/api/v2/stores"


@pytest.fixture
def list_names(client_with_auth):
    """Return a function that returns the names of the stores in a list."""

    def call(**query):
        response = client_with_auth.get(URL, query_string=query)
        assert response.status_code == 200, response.text
        return [store["name"] for store in response.json]

    return call


@pytest.mark.parametrize("field", ["city", "country", "currency"])
def test_filters_find_stores_by_city_country_and_currency(list_names, field):
    value = {"city": "Gent", "country": "France", "currency": "CHF"}[field]
    make_store(name="The Ladle", **{field: value})
    make_store()
    assert list_names(**{field: value}) == ["The Ladle"]


def test_the_city_filter_matches_exactly(list_names):
    make_store(city="Gent")
    assert list_names(city="Gen") == list_names(city="gent") == []


def test_the_owner_filter_finds_stores_of_that_user(list_names, owner):
    make_store(name="The Ladle", owner_id=owner.pk)
    make_store(owner_id=make_user().pk)
    make_store()
    assert list_names(owner_id=str(owner.pk)) == ["The Ladle"]


@pytest.mark.parametrize("q", ["crooked", "LADLE crooked", "tallow", "brassel ladle 7"])
def test_q_finds_words_of_name_street_and_city_in_any_order_and_case(list_names, q):
    make_store(name="The Crooked Ladle", street="7 Tallow Lane", city="Brassel")
    make_store(name="The Straight Spoon", street="8 Wax Road", city="Gent")
    assert list_names(q=q) == ["The Crooked Ladle"]


@pytest.mark.parametrize("q", ["rooked", "belgium", "crooked spoon"])
def test_q_needs_all_words_and_matches_their_beginnings(list_names, q):
    make_store(name="The Crooked Ladle")
    assert list_names(q=q) == []


def test_filters_are_combined_with_and(list_names, owner):
    make_store(name="The Ladle", city="Gent", currency="CHF", owner_id=owner.pk)
    make_store(name="The Ladle", city="Gent", currency="CHF")
    make_store(name="The Ladle", city="Gent", owner_id=owner.pk)
    query = {"q": "ladle", "city": "Gent", "currency": "CHF", "owner_id": str(owner.pk)}
    assert list_names(**query) == ["The Ladle"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("currency=eur", "currency"),
        ("currency=", "currency"),
        ("owner_id=x", "owner_id"),
        ("owner_id=", "owner_id"),
        ("q=", "q"),
        ("name=Ladle", "name"),
        ("zipcode=1000", "zipcode"),
        ("city=Gent&city=Brassel", "city"),
        ("sort=city", "sort"),
        ("sort=currency", "sort"),
        ("sort=owner_id", "sort"),
    ],
)
def test_an_invalid_filter_or_sort_is_an_error_with_its_parameter(
    client_with_auth, query, parameter
):
    response = client_with_auth.get(f"{URL}?{query}")
    assert response.status_code == 422
    assert {entry["parameter"] for entry in response.json["errors"]} == {parameter}


@pytest.mark.parametrize("sort", ["name", "-name", "created_at", "-created_at", "-pk"])
def test_every_page_of_a_sorted_list_can_be_followed(client_with_auth, sort):
    names = sorted(make_store(name=name, city="Gent").name for name in "cabed")
    rows = read_all_pages(client_with_auth, f"{URL}?city=Gent&limit=2&sort={sort}")
    listed = [store["name"] for store in rows]
    assert sorted(listed) == names
    if "name" in sort:
        assert listed == (names[::-1] if sort.startswith("-") else names)


def test_a_list_costs_one_statement(client_with_auth, statements):
    make_store(owner_id=make_user().pk)
    client_with_auth.get(URL)
    with statements() as executed:
        assert client_with_auth.get(URL).status_code == 200
    assert len(executed) == 1
