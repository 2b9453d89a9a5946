"""References of other systems: the same rules for every resource that has them."""

import pytest

from alchemist import database as db
from alchemist.database import ExternallyReferenced
from tests.factories import MODELS, make_row

NAMES = sorted(name for name, model in MODELS.items() if issubclass(model, ExternallyReferenced))


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def row(client, name):
    return make_row(name)


@pytest.fixture
def patch(client, name):
    def send(row, reference):
        url = f"/api/v2/{name}/{row.pk}"
        return client.patch(url, json={"reference": reference}, headers={"If-Match": "*"})

    return send


def test_the_resources_of_the_contract_have_references():
    assert {"coupons", "ingredients", "potions", "products", "stores"} <= {*NAMES}


def test_a_row_has_no_reference_at_first(client, name, row):
    assert client.get(f"/api/v2/{name}/{row.pk}").json["reference"] is None


def test_a_reference_finds_its_row_exactly(client, name, row, patch):
    other = make_row(name)
    # Trimmed and in NFC; the case and what is inside stay.
    assert patch(row, " Erp e\u0301 4711\u200b ").json["reference"] == "Erp \u00e9 4711"
    assert patch(other, "erp \u00e9 4711").status_code == 200
    [match] = client.get(f"/api/v2/{name}", query_string={"reference": "Erp e\u0301 4711"}).json
    assert match["pk"] == str(row.pk)
    assert client.get(f"/api/v2/{name}?reference=4711").json == []


def test_a_taken_reference_is_409_with_its_value(name, row, patch):
    patch(make_row(name), "erp-4711")
    response = patch(row, "erp-4711")
    assert (response.status_code, response.json["code"]) == (409, "already-exists")
    [error] = response.json["errors"]
    assert error["pointer"] == "#/reference"
    assert error["detail"] == 'This reference is taken. It is "erp-4711".'


def test_a_creation_with_a_taken_reference_is_409(client):
    body = {"name": "Mandrake", "reference": "erp-4711"}
    assert client.post("/api/v2/ingredients", json=body).json["reference"] == "erp-4711"
    response = client.post("/api/v2/ingredients", json=body)
    assert response.status_code == 409
    assert [error["pointer"] for error in response.json["errors"]] == ["#/reference"]


@pytest.mark.parametrize("reference", ["", " \u200b", "x" * 128, 4711])
def test_a_reference_has_1_to_127_visible_characters(row, patch, reference):
    response = patch(row, reference)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == ["#/reference"]


def test_a_reference_may_be_cleared_and_used_again(name, row, patch):
    assert patch(row, "x" * 127).status_code == 200
    assert patch(row, None).json["reference"] is None
    assert patch(make_row(name), "x" * 127).status_code == 200


def test_the_filter_uses_the_unique_index(name):
    table = db.Base.metadata.tables[name]
    [index] = [each for each in table.indexes if each.columns.keys() == ["reference"]]
    assert index.unique
