"""The stores of v1, key by key."""

from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.stores.models import Store
from tests.answers import error_pointers
from tests.factories import make_product, make_store, make_user, sign_in

URL = "/api/v1/stores/"
KEYS = [
    *("name", "city", "country", "currency", "domain"),
    *("zipcode", "street", "phone", "email", "storeId"),
]
NEW = {
    "name": "The Crooked Ladle",
    "city": "Brassel",
    "country": "Belgium",
    "currency": "EUR",
    "domain": "https://ladle.example",
    "zipcode": "1000",
    "street": "7 Tallow Lane",
    "phone": "+32 2 555 01 23",
    "email": "ladle@alchemist.example",
}


@pytest.fixture
def owner(client_with_auth):
    return make_user(role="merchant")


@pytest.fixture
def owner_headers(owner):
    """The headers of a request of the owner."""
    return sign_in(owner)


@pytest.fixture
def store(owner):
    return make_store(**NEW, owner_id=owner.pk)


def row(store):
    db.session.rollback()
    return db.session.get(Store, store.pk, populate_existing=True)


def test_a_new_store_is_answered_with_201_and_ten_keys(client_with_auth, owner_headers):
    answer = client_with_auth.post(URL, json=NEW, headers=owner_headers)
    assert answer.status_code == 201
    assert list(answer.json) == KEYS
    assert answer.json == NEW | {"storeId": answer.json["storeId"]}
    assert str(UUID(answer.json["storeId"])) == answer.json["storeId"]


def test_a_new_store_is_the_callers(client_with_auth, owner, owner_headers):
    made = client_with_auth.post(URL, json=NEW, headers=owner_headers).json
    shown = client_with_auth.get(f"/api/v2/stores/{made['storeId']}").json
    assert (shown["owner_id"], shown["name"]) == (str(owner.pk), NEW["name"])


def test_a_store_is_found_by_anybody(client_with_auth, store):
    answer = client_with_auth.get(f"{URL}{store.pk}")
    assert answer.status_code == 200
    assert answer.json == NEW | {"storeId": str(store.pk)}


def test_what_a_store_need_not_have_is_null(client_with_auth, owner_headers):
    needed = {name: NEW[name] for name in [*KEYS[:4], "zipcode", "street"]}
    answer = client_with_auth.post(URL, json=needed, headers=owner_headers)
    assert answer.status_code == 201
    assert list(answer.json) == KEYS
    assert [answer.json[name] for name in ("domain", "phone", "email")] == [None] * 3


def test_the_list_has_all_in_the_order_of_creation(client_with_auth):
    stores = [make_store(name=name) for name in "cab"]
    answer = client_with_auth.get(URL)
    assert answer.status_code == 200
    assert [one["storeId"] for one in answer.json] == [str(store.pk) for store in stores]
    assert all(list(one) == KEYS for one in answer.json)


def test_a_list_of_nothing_is_an_empty_array(client_with_auth):
    assert client_with_auth.get(URL).json == []


@pytest.mark.parametrize("code", ["eur", "Eur", "EUR"])
def test_a_currency_is_read_in_any_case_and_answered_in_capitals(
    client_with_auth, owner_headers, store, code
):
    made = client_with_auth.post(URL, json=NEW | {"currency": code}, headers=owner_headers)
    assert (made.status_code, made.json["currency"]) == (201, "EUR")
    client_with_auth.patch(f"{URL}{store.pk}", json={"currency": code}, headers=owner_headers)
    assert row(store).currency == "EUR"


@pytest.mark.parametrize(
    "code", ["EURO", "XYZ", "", "\N{LATIN SMALL LETTER DOTLESS I}qd", "xau", 5, None]
)
def test_what_is_no_currency_is_refused(client_with_auth, owner_headers, code):
    answer = client_with_auth.post(URL, json=NEW | {"currency": code}, headers=owner_headers)
    assert answer.status_code == 422
    assert [entry["pointer"] for entry in answer.json["errors"]] == ["#/currency"]


def test_a_change_is_answered_with_204_and_nothing(client_with_auth, owner_headers, store):
    answer = client_with_auth.patch(
        f"{URL}{store.pk}", json={"city": "Ghent"}, headers=owner_headers
    )
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers
    shown = client_with_auth.get(f"{URL}{store.pk}").json
    assert shown == NEW | {"city": "Ghent", "storeId": str(store.pk)}


def test_null_clears_what_may_be_empty_alone(client_with_auth, owner_headers, store):
    url = f"{URL}{store.pk}"
    assert (
        client_with_auth.patch(url, json={"phone": None}, headers=owner_headers).status_code == 204
    )
    assert row(store).phone is None
    refused = client_with_auth.patch(url, json={"name": None}, headers=owner_headers)
    assert (refused.status_code, refused.json["code"]) == (422, "not-nullable")


def test_a_deletion_is_answered_with_204_and_nothing(client_with_auth, owner_headers, store):
    answer = client_with_auth.delete(f"{URL}{store.pk}", headers=owner_headers)
    assert (answer.status_code, answer.data) == (204, b"")
    assert client_with_auth.get(f"{URL}{store.pk}").status_code == 404


def test_no_change_needs_if_match_and_none_heeds_it(client_with_auth, owner_headers, store):
    stale = owner_headers | {"If-Match": '"precondition-failed"'}
    url = f"{URL}{store.pk}"
    assert client_with_auth.patch(url, json={"city": "Ghent"}, headers=stale).status_code == 204
    assert client_with_auth.delete(url, headers=stale).status_code == 204


def test_a_store_with_products_cannot_be_deleted(client_with_auth, owner_headers, store):
    product = make_product(store)
    answer = client_with_auth.delete(f"{URL}{store.pk}", headers=owner_headers)
    assert (answer.status_code, answer.json["code"]) == (409, "in-use")
    assert str(product.pk) in answer.json["errors"][0]["detail"]
    assert row(store) is not None


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_is_not_known_is_ignored(client_with_auth, owner, owner_headers, store, method):
    """Above all whose store it is: that could not be said, so it cannot be changed."""
    ids = {"storeId": str(uuid7()), "store_id": 5, "pk": "x", "owner_id": str(make_user().pk)}
    url = URL if method == "POST" else f"{URL}{store.pk}"
    answer = client_with_auth.open(url, method=method, json=NEW | ids, headers=owner_headers)
    assert answer.status_code in (201, 204)
    assert {one["storeId"] for one in client_with_auth.get(URL).json}.isdisjoint(ids.values())
    owners = {one["owner_id"] for one in client_with_auth.get("/api/v2/stores").json}
    assert owners == {str(owner.pk)}


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_missing_row_is_404_with_the_detail_of_v1(client_with_auth, owner_headers, method):
    answer = client_with_auth.open(f"{URL}{uuid7()}", method=method, json={}, headers=owner_headers)
    assert (answer.status_code, answer.json["detail"]) == (404, "Not Found")
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("pk", ["0", "x", "0" * 32, f"{UUID(int=0)}0"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_id_that_is_none_is_404(client_with_auth, owner_headers, method, pk):
    answer = client_with_auth.open(f"{URL}{pk}", method=method, json={}, headers=owner_headers)
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_changing_the_store_of_another_user_is_403(client_with_auth, store, method):
    stranger = sign_in(make_user(role="merchant"))
    answer = client_with_auth.open(
        f"{URL}{store.pk}", method=method, json={"city": "X"}, headers=stranger
    )
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "stores:write:any"
    assert row(store).city == "Brassel"


def test_an_admin_changes_and_deletes_any_store(client_with_auth, store):
    admin = sign_in(make_user(role="admin"))
    url = f"{URL}{store.pk}"
    assert client_with_auth.patch(url, json={"city": "Ghent"}, headers=admin).status_code == 204
    assert client_with_auth.delete(url, headers=admin).status_code == 204


def test_a_customer_opens_no_store(client_with_auth):
    answer = client_with_auth.post(URL, json=NEW, headers=sign_in(make_user()))
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "stores:write"


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_without_a_token_nothing_is_written(client_with_auth, store, method):
    url = URL if method == "POST" else f"{URL}{store.pk}"
    assert client_with_auth.open(url, method=method, json=NEW).status_code == 401
    assert [one["storeId"] for one in client_with_auth.get(URL).json] == [str(store.pk)]


def test_all_errors_are_reported_at_once(client_with_auth, owner_headers):
    body = NEW | {"name": " ", "email": "x", "domain": "ladle", "country": True, "phone": "0" * 65}
    answer = client_with_auth.post(URL, json=body, headers=owner_headers)
    assert answer.status_code == 422
    wrong = {"#/name", "#/email", "#/domain", "#/country", "#/phone"}
    assert error_pointers(answer) == wrong


@pytest.mark.parametrize("data", [b"{", b'{"name": "a", "name": "b"}', b'{"name": NaN}'])
def test_a_body_is_read_as_strictly_as_in_version_2(client_with_auth, owner_headers, data):
    answer = client_with_auth.post(
        URL, data=data, content_type="application/json", headers=owner_headers
    )
    assert answer.status_code == 400


@pytest.mark.parametrize("slash", ["", "/"])
def test_paths_answer_with_and_without_a_slash(client_with_auth, owner_headers, store, slash):
    assert client_with_auth.get(f"/api/v1/stores{slash}").status_code == 200
    assert (
        client_with_auth.post(f"/api/v1/stores{slash}", json=NEW, headers=owner_headers).status_code
        == 201
    )
    url = f"/api/v1/stores/{store.pk}{slash}"
    assert client_with_auth.get(url).status_code == 200
    assert client_with_auth.patch(url, json={}, headers=owner_headers).status_code == 204
    assert client_with_auth.delete(url, headers=owner_headers).status_code == 204


ANSWERS = {
    "listed": ("GET", "", None, 200, "/api/v2/stores"),
    "found": ("GET", "{}", None, 200, "/api/v2/stores/{}"),
    "changed": ("PATCH", "{}", {}, 204, "/api/v2/stores/{}"),
    "refused": ("PATCH", "{}", {"name": ""}, 422, "/api/v2/stores/{}"),
    "deleted": ("DELETE", "{}", None, 204, "/api/v2/stores/{}"),
    "missing": ("GET", f"{UUID(int=1)}", None, 404, f"/api/v2/stores/{UUID(int=1)}"),
    "no id": ("GET", "x", None, 404, "/api/v2/openapi.json"),
    "head": ("HEAD", "", None, 200, "/api/v2/stores"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_says_that_this_is_old_and_what_succeeds_it(
    client_with_auth, owner_headers, store, name
):
    method, path, body, status, successor = ANSWERS[name]
    answer = client_with_auth.open(
        URL + path.format(store.pk), method=method, json=body, headers=owner_headers
    )
    assert answer.status_code == status
    assert answer.headers["Deprecation"].startswith("@")
    assert answer.headers["Link"] == f'<{successor.format(store.pk)}>; rel="successor-version"'


@pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/health/"])
def test_the_service_says_that_it_is_well(client_with_auth, path):
    answer = client_with_auth.get(path)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.data == b'"ok"'
    assert answer.headers["Link"] == '</readyz>; rel="successor-version"'
