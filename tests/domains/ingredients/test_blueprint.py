"""Ingredients over HTTP."""

import unicodedata

import pytest
from uuid_utils.compat import uuid7

from tests.answers import pointers_and_codes
from tests.factories import make_ingredient, make_potion

URL = "/api/v2/ingredients"
ANY = {"If-Match": "*"}


@pytest.fixture(params=["POST", "PATCH"])
def write(request, client):
    """Return a function that creates an ingredient over HTTP, or one that updates one."""

    def call(**values):
        if request.param == "POST":
            return client.post(URL, json={"name": "Mandrake"} | values)
        return client.patch(f"{URL}/{make_ingredient().pk}", json=values, headers=ANY)

    return call


def test_the_location_of_a_new_ingredient_has_the_same_representation(client):
    response = client.post(URL, json={"name": "Mandrake"})
    assert response.status_code == 201
    assert client.get(response.location).json == response.json


def test_the_location_is_the_same_for_a_path_with_a_trailing_slash(client):
    response = client.post(f"{URL}/", json={"name": "Mandrake"})
    assert response.location == f"{URL}/{response.json['pk']}"


def test_several_ingredients_may_have_the_same_name(client):
    assert {client.post(URL, json={"name": "Salt"}).status_code for _ in range(2)} == {201}


INVALID_NAMES = [
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
    ("\u200b\u3164", "too-short"),
    ("\x01", "too-short"),
    ("a" * 128, "too-long"),
    ("😀" * 128, "too-long"),
    ("\u0958" * 64, "too-long"),
]


@pytest.mark.parametrize(("name", "code"), INVALID_NAMES)
def test_an_invalid_name_is_rejected(write, name, code):
    response = write(name=name)
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/name", code)}


@pytest.mark.parametrize("name", ["a", "a" * 127, "😀" * 127, "e\u0301" * 127])
def test_the_length_of_a_name_counts_the_stored_characters(write, name):
    response = write(name=name)
    assert response.status_code in (200, 201)
    assert response.json["name"] == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("description", "code"),
    [(5, "wrong-type"), (False, "wrong-type"), ("a" * 2001, "too-long"), ([], "wrong-type")],
)
def test_an_invalid_description_is_rejected(write, description, code):
    assert pointers_and_codes(write(description=description)) == {("#/description", code)}


@pytest.mark.parametrize("description", [None, "", "a" * 2000, "😀" * 2000])
def test_a_description_may_be_long_or_empty(write, description):
    assert write(description=description).json["description"] == description


def test_text_is_trimmed_and_stored_as_nfc(write):
    response = write(name="  Cafe\u0301\n", description="\u2003a  b ")
    assert (response.json["name"], response.json["description"]) == ("Café", "a  b")


def test_surrounding_white_space_does_not_count(write):
    assert write(name=f" {'a' * 127} ").json["name"] == "a" * 127


def test_a_patch_accepts_the_media_type_of_merge_patches(client):
    row = make_ingredient(name="Mandrake", description="Screams.")
    response = client.patch(
        f"{URL}/{row.pk}",
        data=b'{"description": null}',
        content_type="application/merge-patch+json",
        headers=ANY,
    )
    assert (response.json["name"], response.json["description"]) == ("Mandrake", None)


def test_a_change_updates_updated_at_and_not_created_at(client):
    url = f"{URL}/{make_ingredient().pk}"
    before = client.get(url).json
    after = client.patch(url, json={"name": "Sage"}, headers=ANY).json
    assert after["updated_at"] > before["updated_at"]
    assert after["created_at"] == before["created_at"]


def test_a_deleted_ingredient_is_404(client):
    url = f"{URL}/{make_ingredient().pk}"
    response = client.delete(url, headers=ANY)
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers
    assert client.get(url).status_code == 404
    assert client.delete(url, headers=ANY).status_code == 404


def test_deleting_an_ingredient_of_a_potion_is_a_conflict_that_names_it(client):
    ingredient = make_ingredient()
    potion = make_potion(ingredient)
    response = client.delete(f"{URL}/{ingredient.pk}", headers=ANY)
    assert response.status_code == 409
    assert response.json["code"] == "in-use"
    assert str(potion.pk) in response.json["errors"][0]["detail"]


@pytest.mark.parametrize("pk", [uuid7(), "5", "x", "01935f2e7c1a7b3e9d3c0123456789ab", "%00"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_missing_row_or_a_malformed_key_is_404(client, pk, method):
    response = client.open(f"{URL}/{pk}", method=method, headers=ANY, json={})
    assert (response.status_code, response.json["code"]) == (404, "not-found")


def test_a_key_may_be_in_upper_case(client):
    pk = str(make_ingredient().pk)
    assert client.get(f"{URL}/{pk.upper()}").json["pk"] == pk


def list_names(client, **query):
    return [row["name"] for row in client.get(URL, query_string=query).json]


def test_a_name_filter_matches_exactly(client):
    for name in ("Sage", "sage", "Sage tea"):
        make_ingredient(name=name)
    assert list_names(client, name="Sage") == ["Sage"]
    assert list_names(client, name=" Sage ") == ["Sage"]
    assert list_names(client, name="Sage%") == list_names(client, name="S_ge") == []


def test_a_name_filter_is_compared_as_nfc(client):
    make_ingredient(name="Café")
    assert list_names(client, name="Cafe\u0301") == ["Café"]


def test_q_finds_words_of_name_and_description_in_any_order_and_case(client):
    make_ingredient(name="Dried Sage", description="Smells of summer.")
    make_ingredient(name="Salt")
    assert list_names(client, q="SUMMER sage") == ["Dried Sage"]
    assert list_names(client, q="sage winter") == []
    assert list_names(client, q="sag") == ["Dried Sage"]
    assert list_names(client, q="age") == []


@pytest.mark.parametrize("q", ["'", "!&|", ":*", "a & !b", "sage:*", "\\", "(", "\x01a", "😀", "%"])
def test_q_accepts_any_text(client, q):
    assert client.get(URL, query_string={"q": q}).status_code == 200


def test_filters_are_combined_with_and(client):
    make_ingredient(name="Sage", description="Grey.")
    make_ingredient(name="Sage", description="Green.")
    assert len(list_names(client, name="Sage")) == 2
    assert len(list_names(client, name="Sage", q="grey")) == 1


def test_a_list_costs_one_statement(client, statements):
    make_ingredient()
    client.get(URL)
    with statements() as executed:
        response = client.get(URL)
    assert response.status_code == 200
    assert len(executed) == 1
