"""Ingredients, as a client meets them."""

from tests.factories import make_ingredient, make_potion

URL = "/api/v2/ingredients"


def test_create_says_where_it_is(client):
    answer = client.post(URL, json={"name": "Mandrake"})
    assert answer.status_code == 201
    assert client.get(answer.location).json == answer.json


def test_delete_names_the_potions_that_stand_in_the_way(client):
    ingredient = make_ingredient()
    potion = make_potion(ingredient)
    answer = client.delete(f"{URL}/{ingredient.pk}", headers={"If-Match": "*"})
    assert answer.status_code == 409
    assert answer.json["code"] == "in-use"
    assert str(potion.pk) in answer.json["errors"][0]["detail"]


def test_list_is_one_statement(client, statements):
    make_ingredient()
    client.get(URL)
    with statements() as seen:
        answer = client.get(URL)
    assert answer.status_code == 200
    assert len(seen) == 1
