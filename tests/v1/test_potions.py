"""Ingredients and potions of version 1, key by key."""

import pytest
from uuid_utils.compat import uuid7

from tests.factories import make_ingredient, make_potion, make_user, sign_in

INGREDIENTS, POTIONS = "/api/v1/ingredients", "/api/v1/potions"


@pytest.fixture
def admin(client_with_auth):
    return sign_in(make_user(role="admin"))


def test_a_new_ingredient_is_answered_with_201_and_two_keys(client_with_auth, admin):
    answer = client_with_auth.post(INGREDIENTS, json={"name": "Mandrake"}, headers=admin)
    assert answer.status_code == 201
    assert list(answer.json) == ["pk", "name"]
    assert client_with_auth.get(f"{INGREDIENTS}/{answer.json['pk']}").json == answer.json


def test_a_new_potion_is_answered_with_201_and_its_ingredients_in_order(client_with_auth, admin):
    ingredients = [make_ingredient(name=name) for name in "cab"]
    body = {"name": "Draught", "ingredients": [str(row.pk) for row in ingredients]}
    answer = client_with_auth.post(POTIONS, json=body, headers=admin)
    assert answer.status_code == 201
    assert list(answer.json) == ["pk", "name", "ingredients"]
    assert answer.json["ingredients"] == [
        {"pk": str(row.pk), "name": row.name} for row in ingredients
    ]
    assert client_with_auth.get(f"{POTIONS}/{answer.json['pk']}").json == answer.json


@pytest.mark.parametrize(("path", "make"), [(INGREDIENTS, make_ingredient), (POTIONS, make_potion)])
def test_the_list_has_all_in_the_order_of_creation(client_with_auth, path, make):
    rows = [make(name=name) for name in "cab"]
    answer = client_with_auth.get(path)
    assert answer.status_code == 200
    assert [row["pk"] for row in answer.json] == [str(row.pk) for row in rows]


@pytest.mark.parametrize(
    ("path", "detail"),
    [(INGREDIENTS, "Ingredient does not exist"), (POTIONS, "Potion does not exist")],
)
def test_an_unknown_row_is_404(client_with_auth, path, detail):
    answer = client_with_auth.get(f"{path}/{uuid7()}")
    assert (answer.status_code, answer.json["detail"]) == (404, detail)


@pytest.mark.parametrize("number", [5, 1.5])
@pytest.mark.parametrize("path", [INGREDIENTS, POTIONS])
def test_a_number_is_no_name(client_with_auth, admin, path, number):
    body = {"name": number, "ingredients": [str(make_ingredient().pk)]}
    answer = client_with_auth.post(path, json=body, headers=admin)
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "#/name")


def test_unknown_and_repeated_ingredients_are_refused(client_with_auth, admin):
    known, unknown = str(make_ingredient().pk), str(uuid7())
    body = {"name": "Draught", "ingredients": [known, unknown, known.upper()]}
    answer = client_with_auth.post(POTIONS, json=body, headers=admin)
    assert answer.status_code == 422
    assert {(one["pointer"], one["code"]) for one in answer.json["errors"]} == {
        ("#/ingredients/1", "unknown-reference"),
        ("#/ingredients/2", "duplicate"),
    }
