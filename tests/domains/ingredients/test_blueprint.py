"""Ingredients, as a client meets them."""

import unicodedata

import pytest
from uuid_utils.compat import uuid7

from tests.answers import pointers_and_codes
from tests.factories import make_ingredient, make_potion

URL = "/api/v2/ingredients"
ANY = {"If-Match": "*"}


@pytest.fixture(params=["POST", "PATCH"])
def write(request, client):
    """Return a writer of some fields, once for a new ingredient and once for one that is there."""

    def call(**values):
        if request.param == "POST":
            return client.post(URL, json={"name": "Mandrake"} | values)
        return client.patch(f"{URL}/{make_ingredient().pk}", json=values, headers=ANY)

    return call


def test_create_says_where_it_is(client):
    response = client.post(URL, json={"name": "Mandrake"})
    assert response.status_code == 201
    assert client.get(response.location).json == response.json


def test_create_behind_a_trailing_slash_says_the_same_place(client):
    response = client.post(f"{URL}/", json={"name": "Mandrake"})
    assert response.location == f"{URL}/{response.json['pk']}"


def test_names_may_repeat(client):
    assert {client.post(URL, json={"name": "Salt"}).status_code for _ in range(2)} == {201}


WRONG_NAMES = [
    (None, "not-nullable"),
    (5, "wrong-type"),
    (1.5, "wrong-type"),
    (True, "wrong-type"),
    ([], "wrong-type"),
    (["a"], "wrong-type"),
    ({}, "wrong-type"),
    ("", "too-short"),
    (" ", "too-short"),
    ("\t\n\u3000\u00a0\u2028", "too-short"),
    ("a" * 128, "too-long"),
    ("😀" * 128, "too-long"),
    ("\u0958" * 64, "too-long"),
]


@pytest.mark.parametrize(("name", "code"), WRONG_NAMES)
def test_a_name_that_cannot_be_is_refused(write, name, code):
    response = write(name=name)
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/name", code)}


@pytest.mark.parametrize("name", ["a", "a" * 127, "😀" * 127, "e\u0301" * 127, "\u200b", "\x01"])
def test_a_name_counts_the_characters_that_are_stored(write, name):
    response = write(name=name)
    assert response.status_code in (200, 201)
    assert response.json["name"] == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("description", "code"),
    [(5, "wrong-type"), (False, "wrong-type"), ("a" * 2001, "too-long"), ([], "wrong-type")],
)
def test_a_description_that_cannot_be_is_refused(write, description, code):
    assert pointers_and_codes(write(description=description)) == {("#/description", code)}


@pytest.mark.parametrize("description", [None, "", "a" * 2000, "😀" * 2000])
def test_a_description_may_be_long_or_empty(write, description):
    assert write(description=description).json["description"] == description


def test_text_is_trimmed_and_stored_as_nfc(write):
    response = write(name="  Cafe\u0301\n", description="\u2003a  b ")
    assert (response.json["name"], response.json["description"]) == ("Café", "a  b")


def test_text_that_is_longer_only_by_its_margins_fits(write):
    assert write(name=f" {'a' * 127} ").json["name"] == "a" * 127


def test_a_patch_may_be_a_merge_patch(client):
    row = make_ingredient(name="Mandrake", description="Screams.")
    response = client.patch(
        f"{URL}/{row.pk}",
        data=b'{"description": null}',
        content_type="application/merge-patch+json",
        headers=ANY,
    )
    assert (response.json["name"], response.json["description"]) == ("Mandrake", None)


def test_a_change_moves_the_time_of_change_alone(client):
    one = f"{URL}/{make_ingredient().pk}"
    before = client.get(one).json
    after = client.patch(one, json={"name": "Sage"}, headers=ANY).json
    assert after["updated_at"] > before["updated_at"]
    assert after["created_at"] == before["created_at"]


def test_delete_answers_204_and_nothing_is_left(client):
    one = f"{URL}/{make_ingredient().pk}"
    response = client.delete(one, headers=ANY)
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers
    assert client.get(one).status_code == 404
    assert client.delete(one, headers=ANY).status_code == 404


def test_delete_names_the_potions_that_stand_in_the_way(client):
    ingredient = make_ingredient()
    potion = make_potion(ingredient)
    response = client.delete(f"{URL}/{ingredient.pk}", headers=ANY)
    assert response.status_code == 409
    assert response.json["code"] == "in-use"
    assert str(potion.pk) in response.json["errors"][0]["detail"]


@pytest.mark.parametrize("pk", [uuid7(), "5", "x", "01935f2e7c1a7b3e9d3c0123456789ab", "%00"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_missing_row_or_an_ill_formed_key_is_404(client, pk, method):
    response = client.open(f"{URL}/{pk}", method=method, headers=ANY, json={})
    assert (response.status_code, response.json["code"]) == (404, "not-found")


def test_a_key_may_be_written_in_capitals(client):
    pk = str(make_ingredient().pk)
    assert client.get(f"{URL}/{pk.upper()}").json["pk"] == pk


def listed(client, **query):
    return [row["name"] for row in client.get(URL, query_string=query).json]


def test_a_name_filter_matches_exactly(client):
    for name in ("Sage", "sage", "Sage tea"):
        make_ingredient(name=name)
    assert listed(client, name="Sage") == ["Sage"]
    assert listed(client, name=" Sage ") == ["Sage"]
    assert listed(client, name="Sage%") == listed(client, name="S_ge") == []


def test_a_name_filter_is_compared_as_nfc(client):
    make_ingredient(name="Café")
    assert listed(client, name="Cafe\u0301") == ["Café"]


def test_q_finds_words_of_name_and_description_in_any_order_and_case(client):
    make_ingredient(name="Dried Sage", description="Smells of summer.")
    make_ingredient(name="Salt")
    assert listed(client, q="SUMMER sage") == ["Dried Sage"]
    assert listed(client, q="sage winter") == []
    assert listed(client, q="sag") == []


@pytest.mark.parametrize("q", ["'", "!&|", ":*", "a & !b", "sage:*", "\\", "(", "\x01", "😀", "%"])
def test_q_takes_any_text_for_words(client, q):
    assert client.get(URL, query_string={"q": q}).status_code == 200


def test_filters_are_combined(client):
    make_ingredient(name="Sage", description="Grey.")
    make_ingredient(name="Sage", description="Green.")
    assert len(listed(client, name="Sage")) == 2
    assert len(listed(client, name="Sage", q="grey")) == 1


def test_list_is_one_statement(client, statements):
    make_ingredient()
    client.get(URL)
    with statements() as executed:
        response = client.get(URL)
    assert response.status_code == 200
    assert len(executed) == 1
