"""What the request hooks of version 1 do, whatever the operation."""

from datetime import date

import pytest

from alchemist.docs.example_values import resolve_ref
from tests.factories import (
    make_coupon,
    make_hero,
    make_ingredient,
    make_order,
    make_potion,
    make_product,
    make_store,
)

ROWS = {
    "ingredients": make_ingredient,
    "potions": make_potion,
    "heroes": make_hero,
    "stores": make_store,
    "products": make_product,
    "coupons": make_coupon,
    "orders": make_order,
}
LISTS = ["/ingredients", "/potions", "/user/get-users", "/stores/", "/products/", "/orders/"]
OTHERS = ["/", "", "/health", "/health/"]
UNDECODABLE = ["q=%E4", "%E4=1", "q=%", "q=%zz", "%", "q=%ed%a0%80", "a=1&a=2", "&" * 200]


@pytest.mark.parametrize("resource", ROWS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_an_id_in_a_path_needs_no_dashes_and_may_be_in_capitals(client, resource, slash):
    pk = ROWS[resource]().pk
    expected = client.get(f"/api/v1/{resource}/{pk}")
    assert expected.status_code == 200
    for spelling in (pk.hex, pk.hex.upper(), str(pk).upper()):
        answer = client.get(f"/api/v1/{resource}/{spelling}{slash}")
        assert (answer.status_code, answer.json) == (200, expected.json)
        successor = f'</api/v2/{resource}/{pk}>; rel="successor-version"'
        assert answer.headers["Link"] == successor


@pytest.mark.parametrize("resource", ["heroes", "stores", "products"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_an_id_without_dashes_can_be_changed_and_deleted(client, resource, method):
    pk = ROWS[resource]().pk
    answer = client.open(f"/api/v1/{resource}/{pk.hex}", method=method, json={})
    assert answer.status_code in (200, 204)


@pytest.mark.parametrize("resource", ROWS)
@pytest.mark.parametrize("pk", ["x", "0" * 31, "0" * 33, "g" * 32, "0-" * 16, "-" * 36, "%E4"])
def test_an_ill_formed_id_in_a_path_is_not_found(client, resource, pk):
    for url in (f"/api/v1/{resource}/{pk}", f"/api/v1/{resource}/{pk}/"):
        answer = client.get(url)
        assert (answer.status_code, answer.json["detail"]) == (404, "Not Found")


@pytest.mark.parametrize("path", ["/nothing", "/stores/x/y", "/%E4", "/user", "/%zz"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_an_unknown_path_is_not_found_in_the_words_of_the_framework(client, path, method):
    answer = client.open(f"/api/v1{path}", method=method)
    assert answer.status_code == 404
    if method != "HEAD":
        assert answer.json["detail"] == "Not Found"


@pytest.mark.parametrize("path", [*LISTS, *OTHERS, "/coupons", "/heroes", "/user/create-user"])
def test_another_method_is_not_allowed_in_the_words_of_the_framework(client, path):
    for url in (f"/api/v1{path}", f"/api/v1{path}/".replace("//", "/")):
        answer = client.put(url)
        assert (answer.status_code, answer.json["detail"]) == (405, "Method Not Allowed")
        assert answer.headers["Allow"]


def test_version_2_has_other_details(client):
    for answer in (client.get("/api/v2/nothing"), client.put("/api/v2/potions")):
        assert answer.json["detail"] not in ("Not Found", "Method Not Allowed")


@pytest.mark.parametrize("query", UNDECODABLE)
@pytest.mark.parametrize("path", [*LISTS, *OTHERS])
def test_any_query_that_is_not_read_is_ignored(client, path, query):
    assert client.get(f"/api/v1{path}?{query}").status_code == 200


@pytest.mark.parametrize("query", UNDECODABLE)
@pytest.mark.parametrize("resource", ROWS)
def test_any_query_of_a_row_is_ignored(client, resource, query):
    assert client.get(f"/api/v1/{resource}/{ROWS[resource]().pk}?{query}").status_code == 200


def test_version_2_rejects_a_query_that_is_not_utf_8(client):
    assert client.get("/api/v2/potions?q=%E4").status_code == 400


def test_version_1_has_no_end_by_default(client):
    assert "Sunset" not in client.get("/api/v1/").headers


def test_every_answer_says_when_version_1_ends_if_that_is_decided(make_committing_app):
    client = make_committing_app(v1_sunset=date(2027, 12, 31)).test_client()
    for path in ("/", "/stores/", "/nothing"):
        answer = client.get(f"/api/v1{path}")
        assert answer.headers["Sunset"] == "Fri, 31 Dec 2027 00:00:00 GMT"
    assert "Sunset" not in client.get("/api/v2/stores").headers
    document = client.get("/api/v1/openapi.json").json
    operation = document["paths"]["/api/v1/stores/"]["get"]
    header = resolve_ref(operation["responses"]["200"]["headers"]["Sunset"], document)
    assert header["example"] == "Fri, 31 Dec 2027 00:00:00 GMT"
