"""Potions and their recipes over HTTP."""

import pytest
from uuid_utils.compat import uuid7

from alchemist.domains.potions import service
from tests.answers import error_pointers, pointers_and_codes
from tests.factories import make_ingredient, make_potion

URL = "/api/v2/potions"
ANY = {"If-Match": "*"}


@pytest.fixture(params=["POST", "PATCH"])
def write(request, client):
    """Return a function that creates a potion, or updates one, with some fields."""

    def call(**values):
        if request.param == "POST":
            return client.post(URL, json={"name": "Brew", "ingredients": make_pks(1)} | values)
        return client.patch(f"{URL}/{make_potion().pk}", json=values, headers=ANY)

    return call


def make_pks(count):
    return [str(make_ingredient().pk) for _ in range(count)]


def test_ingredients_are_in_the_order_of_the_request(write):
    [a, b, c] = [make_ingredient(name=name) for name in "abc"]
    ingredients = [
        {"pk": str(c.pk), "amount": "2.5", "unit": " g "},
        str(a.pk),
        {"pk": str(b.pk).upper(), "amount": None},
    ]
    answer = write(ingredients=ingredients)
    assert answer.json["ingredients"] == [
        {"pk": str(c.pk), "name": "c", "amount": "2.500", "unit": "g"},
        {"pk": str(a.pk), "name": "a", "amount": None, "unit": None},
        {"pk": str(b.pk), "name": "b", "amount": None, "unit": None},
    ]


@pytest.mark.parametrize("amount", ["0.001", "999999999.999", "1", "007", "1.10"])
def test_an_amount_has_three_decimals(write, amount):
    [ingredient] = write(ingredients=[{"pk": make_pks(1)[0], "amount": amount}]).json["ingredients"]
    assert ingredient["amount"] == f"{float(amount):.3f}"


INVALID_LISTS = [
    (None, "", "not-nullable"),
    ("x", "", "wrong-type"),
    (5, "", "wrong-type"),
    ({}, "", "wrong-type"),
    ([], "", "too-short"),
    ([5], "/0", "wrong-type"),
    ([None], "/0", "not-nullable"),
    ([True], "/0", "wrong-type"),
    ([[]], "/0", "wrong-type"),
    (["x"], "/0", "wrong-type"),
    (["01935f2e7c1a7b3e9d3c0123456789ab"], "/0", "wrong-type"),
    (["{01935f2e-7c1a-7b3e-9d3c-0123456789ab}"], "/0", "wrong-type"),
    ([{}], "/0/pk", "required"),
    ([{"pk": None}], "/0/pk", "not-nullable"),
    ([{"pk": 5}], "/0/pk", "wrong-type"),
    ([{"pk": "x"}], "/0/pk", "wrong-type"),
]
INVALID_INGREDIENTS = [
    ({"amount": 2.5}, "amount", "wrong-type"),
    ({"amount": 2}, "amount", "wrong-type"),
    ({"amount": True}, "amount", "wrong-type"),
    ({"amount": ""}, "amount", "wrong-type"),
    ({"amount": "1e3"}, "amount", "wrong-type"),
    ({"amount": "NaN"}, "amount", "wrong-type"),
    ({"amount": "Infinity"}, "amount", "wrong-type"),
    ({"amount": "1,5"}, "amount", "wrong-type"),
    ({"amount": " 1"}, "amount", "wrong-type"),
    ({"amount": "1\n"}, "amount", "wrong-type"),
    ({"amount": "+1"}, "amount", "wrong-type"),
    ({"amount": ".5"}, "amount", "wrong-type"),
    ({"amount": "1."}, "amount", "wrong-type"),
    ({"amount": "\u0661"}, "amount", "wrong-type"),
    ({"amount": "0"}, "amount", "out-of-range"),
    ({"amount": "0.000"}, "amount", "out-of-range"),
    ({"amount": "-1"}, "amount", "out-of-range"),
    ({"amount": "1.0001"}, "amount", "out-of-range"),
    ({"amount": "1000000000"}, "amount", "out-of-range"),
    ({"amount": "9" * 4000}, "amount", "out-of-range"),
    ({"unit": 5}, "unit", "wrong-type"),
    ({"unit": ""}, "unit", "too-short"),
    ({"unit": "  "}, "unit", "too-short"),
    ({"unit": "g" * 17}, "unit", "too-long"),
    ({"colour": "red"}, "colour", "unknown-field"),
    ({"name": 5}, "name", "wrong-type"),
    ({"name": "Another"}, "name", "read-only"),
]


@pytest.mark.parametrize(("ingredients", "location", "code"), INVALID_LISTS)
def test_an_invalid_list_is_422_with_its_pointer(write, ingredients, location, code):
    answer = write(ingredients=ingredients)
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {(f"#/ingredients{location}", code)}


@pytest.mark.parametrize(("values", "field", "code"), INVALID_INGREDIENTS)
def test_an_invalid_ingredient_is_422_with_its_pointer(write, values, field, code):
    first_pk, second_pk = make_pks(2)
    answer = write(ingredients=[first_pk, {"pk": second_pk} | values])
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {(f"#/ingredients/1/{field}", code)}


def test_unknown_ingredients_are_422_each_with_its_pointer(write):
    [pk] = make_pks(1)
    answer = write(ingredients=[str(uuid7()), pk, {"pk": str(uuid7())}])
    assert (answer.status_code, answer.json["code"]) == (422, "unknown-reference")
    assert error_pointers(answer) == {
        "#/ingredients/0",
        "#/ingredients/2/pk",
    }


def test_a_repeated_ingredient_is_422_at_its_repetition(write):
    a, b = make_pks(2)
    answer = write(ingredients=[a, b, {"pk": a.upper()}, b])
    assert (answer.status_code, answer.json["code"]) == (422, "duplicate")
    assert pointers_and_codes(answer) == {
        ("#/ingredients/2", "duplicate"),
        ("#/ingredients/3", "duplicate"),
    }


def test_all_validation_errors_are_reported_together(write):
    a, b = make_pks(2)
    ingredients = [
        a,
        {"pk": b, "amount": "0"},
        5,
        a,
        str(uuid7()),
        {"pk": str(uuid7()), "unit": ""},
    ]
    assert pointers_and_codes(write(name="", ingredients=ingredients)) == {
        ("#/name", "too-short"),
        ("#/ingredients/1/amount", "out-of-range"),
        ("#/ingredients/2", "wrong-type"),
        ("#/ingredients/3", "duplicate"),
        ("#/ingredients/4", "unknown-reference"),
        ("#/ingredients/5/pk", "unknown-reference"),
        ("#/ingredients/5/unit", "too-short"),
    }


def test_a_wrong_name_of_an_ingredient_is_reported_with_other_errors(write):
    answer = write(name="", ingredients=[{"pk": make_pks(1)[0], "name": "Another"}])
    assert pointers_and_codes(answer) == {
        ("#/name", "too-short"),
        ("#/ingredients/0/name", "read-only"),
    }


def test_a_recipe_has_at_most_100_ingredients(write):
    ingredients = make_pks(101)
    assert write(ingredients=ingredients[1:]).status_code in (200, 201)
    assert pointers_and_codes(write(ingredients=ingredients)) == {("#/ingredients", "too-long")}


def test_a_recipe_is_required_for_a_new_potion(client):
    assert pointers_and_codes(client.post(URL, json={"name": "Brew"})) == {
        ("#/ingredients", "required")
    }


def test_a_representation_may_be_sent_back(client):
    url = f"{URL}/{make_potion(make_ingredient(name='Café'), make_ingredient()).pk}"
    before = client.get(url)
    answer = client.patch(url, json=before.json, headers={"If-Match": before.headers["ETag"]})
    assert (answer.status_code, answer.json) == (200, before.json)
    assert answer.headers["ETag"] == before.headers["ETag"]


@pytest.mark.parametrize("change", ["reverse", "remove", "amount", "unit"])
def test_changing_the_recipe_changes_the_etag(client, change):
    url = f"{URL}/{make_potion(make_ingredient(), make_ingredient()).pk}"
    before = client.get(url)
    ingredients = before.json["ingredients"]
    changed = {
        "reverse": ingredients[::-1],
        "remove": ingredients[1:],
        "amount": [ingredients[0], ingredients[1] | {"amount": "1.000"}],
        "unit": [ingredients[0] | {"unit": "g"}, ingredients[1]],
    }[change]
    after = client.patch(url, json={"ingredients": changed}, headers=ANY)
    assert after.json["ingredients"] == changed
    assert after.json["updated_at"] > before.json["updated_at"]
    assert after.headers["ETag"] != before.headers["ETag"]


def test_patch_without_a_recipe_keeps_it(client):
    url = f"{URL}/{make_potion(make_ingredient(), make_ingredient()).pk}"
    before = client.get(url).json["ingredients"]
    after = client.patch(url, json={"name": "New"}, headers=ANY).json
    assert (after["name"], after["ingredients"]) == ("New", before)


def test_deleting_a_potion_keeps_its_ingredients(client):
    ingredient = make_ingredient()
    potion = f"{URL}/{make_potion(ingredient).pk}"
    assert client.delete(potion, headers=ANY).status_code == 204
    assert client.get(potion).status_code == 404
    url = f"/api/v2/ingredients/{ingredient.pk}"
    assert client.delete(url, headers=ANY).status_code == 204


def test_read_only_members_of_nested_objects_never_reach_a_service(client, monkeypatch):
    ingredient, received = make_ingredient(name="Sage"), []
    create = service.create
    monkeypatch.setattr(
        service, "create", lambda **values: received.append(values) or create(**values)
    )
    recipe_line = {"pk": str(ingredient.pk), "name": "Sage", "amount": "1.000"}
    answer = client.post("/api/v2/potions", json={"name": "Tea", "ingredients": [recipe_line]})
    assert answer.status_code == 201
    [values] = received
    assert set(values["ingredients"][0]) == {"ingredient_id", "amount"}
