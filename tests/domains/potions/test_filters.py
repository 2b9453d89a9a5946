"""Filters of the list of potions."""

import pytest
from uuid_utils.compat import uuid7

from tests.factories import make_ingredient, make_potion

URL = "/api/v2/potions"


@pytest.fixture
def pks(client):
    """Create three ingredients and potions of them; return the pks by name."""
    a, b, c = (make_ingredient(name=name) for name in "abc")
    for name, ingredients in {
        "A": [a],
        "AB": [a, b],
        "BA": [b, a],
        "ABC": [a, b, c],
        "C": [c],
    }.items():
        make_potion(*ingredients, name=name)
    return {"a": a.pk, "b": b.pk, "c": c.pk, "x": uuid7()}


@pytest.mark.parametrize(
    ("parameter", "names", "expected"),
    [
        ("ingredient", "a", "A AB ABC BA"),
        ("ingredient", "ab", "AB ABC BA"),
        ("ingredient", "cba", "ABC"),
        ("ingredient", "x", ""),
        ("ingredient", "ax", ""),
        ("brewable_with", "a", "A"),
        ("brewable_with", "ab", "A AB BA"),
        ("brewable_with", "abc", "A AB ABC BA C"),
        ("brewable_with", "bc", "C"),
        ("brewable_with", "xb", ""),
    ],
)
def test_list_filters_by_ingredients(client, pks, parameter, names, expected):
    value = ",".join(str(pks[name]) for name in names)
    for query in (f"?{parameter}={value}", f"?{parameter}={value.upper()}&count=exact"):
        answer = client.get(f"{URL}{query}")
        assert sorted(row["name"] for row in answer.json) == expected.split()
    assert answer.headers["X-Total-Count"] == str(len(expected.split()))


def test_filters_are_combined(client, pks):
    query = f"?ingredient={pks['b']}&brewable_with={pks['a']},{pks['b']}&name=AB"
    assert [row["name"] for row in client.get(f"{URL}{query}").json] == ["AB"]


PK = "01935f2e-7c1a-7b3e-9d3c-0123456789ab"


@pytest.mark.parametrize("parameter", ["ingredient", "brewable_with"])
@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "wrong-type"),
        (",", "wrong-type"),
        (f"{PK},", "wrong-type"),
        (f"{PK}, {PK}", "wrong-type"),
        (PK.replace("-", ""), "wrong-type"),
        (f"{PK}%00", "wrong-type"),
        (f"{PK},{PK.upper()}", "duplicate"),
        (",".join(str(uuid7()) for _ in range(101)), "too-long"),
    ],
)
def test_a_malformed_list_of_pks_is_422(client, parameter, value, code):
    answer = client.get(f"{URL}?{parameter}={value}")
    assert answer.status_code == 422
    assert [(error["parameter"], error["code"]) for error in answer.json["errors"]] == [
        (parameter, code)
    ]


@pytest.mark.parametrize("parameter", ["ingredient", "brewable_with"])
def test_a_repeated_parameter_is_the_same_list(client, pks, parameter):
    a, b, c = (pks[letter] for letter in "abc")
    url = f"{URL}?limit=1"
    joined = client.get(f"{url}&{parameter}={a},{b},{c}")
    for query in (
        f"{parameter}={a}&{parameter}={b},{c}",
        f"{parameter}={a}&limit=1&{parameter}={b}",
    ):
        assert client.get(f"{URL}?{query}").status_code == 200
    repeated = client.get(f"{url}&{parameter}={a}&{parameter}={b}&{parameter}={c}")
    assert repeated.json == joined.json
    duplicate = client.get(f"{url}&{parameter}={a}&{parameter}={a}")
    assert duplicate.status_code == 422
    assert duplicate.json["code"] == "duplicate"


def test_a_cursor_fits_the_same_list_however_it_is_written(client, pks):
    a, b = pks["a"], pks["b"]
    first = client.get(f"{URL}?limit=1&ingredient={a}&ingredient={b}")
    cursor = first.headers["Link"].partition("cursor=")[2].partition(">")[0]
    second = client.get(f"{URL}?limit=1&ingredient={a},{b}&cursor={cursor}")
    assert second.status_code == 200
    assert second.json != first.json
