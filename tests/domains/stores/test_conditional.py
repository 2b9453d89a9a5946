"""Conditional requests and deletion of stores."""

from uuid import UUID

import pytest

from tests.factories import make_product, make_store, reload

URL = "/api/v2/stores"
ANY = {"If-Match": "*"}


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_changes_and_deletions_need_if_match(client_with_auth, owner, owner_headers, method):
    store = make_store(owner_id=owner.pk)
    response = client_with_auth.open(
        f"{URL}/{store.pk}", method=method, json={}, headers=owner_headers
    )
    assert response.status_code == 428
    assert reload(store) is not None


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stale_etag_gets_a_412_with_the_current_store(
    client_with_auth, owner, owner_headers, method
):
    url = f"{URL}/{make_store(owner_id=owner.pk).pk}"
    stale_etag = client_with_auth.get(url).headers["ETag"]
    changed = client_with_auth.patch(
        url, json={"currency": "CHF"}, headers=owner_headers | {"If-Match": stale_etag}
    )
    assert changed.status_code == 200
    headers = owner_headers | {"If-Match": stale_etag}
    response = client_with_auth.open(url, method=method, json={"name": "Lost"}, headers=headers)
    assert response.status_code == 412
    assert response.json["current"] == changed.json
    assert response.headers["ETag"] == changed.headers["ETag"]


def test_a_412_precedes_a_422(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_store(owner_id=owner.pk).pk}"
    headers = owner_headers | {"If-Match": '"stale"'}
    assert (
        client_with_auth.patch(url, json={"currency": "EURO"}, headers=headers).status_code == 412
    )


def test_a_matching_if_none_match_gets_a_304(client_with_auth):
    url = f"{URL}/{make_store().pk}"
    etag = client_with_auth.get(url).headers["ETag"]
    response = client_with_auth.get(url, headers={"If-None-Match": f"W/{etag}"})
    assert (response.status_code, response.headers["ETag"]) == (304, etag)


@pytest.mark.parametrize("pk", ["0", "x", UUID(int=0).hex, "01935f2e-7c1a-7b3e-9d3c-0123456789ab"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_missing_store_is_404(client_with_auth, owner_headers, method, pk):
    response = client_with_auth.open(
        f"{URL}/{pk}", method=method, json={}, headers=owner_headers | ANY
    )
    assert response.status_code == 404


def test_deleting_a_store_with_products_is_a_conflict_that_names_them(
    client_with_auth, owner, owner_headers
):
    store = make_store(owner_id=owner.pk)
    products = {str(make_product(store).pk) for _ in range(2)}
    response = client_with_auth.delete(f"{URL}/{store.pk}", headers=owner_headers | ANY)
    assert (response.status_code, response.json["code"]) == (409, "in-use")
    details = [entry["detail"] for entry in response.json["errors"]]
    assert sorted(details) == sorted(f"Product {pk} is sold there." for pk in products)
    assert reload(store) is not None


def test_a_store_without_products_can_be_deleted(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_store(owner_id=owner.pk).pk}"
    response = client_with_auth.delete(url, headers=owner_headers | ANY)
    assert (response.status_code, response.data) == (204, b"")
    assert client_with_auth.get(url).status_code == 404


def test_deleting_a_user_with_a_store_is_a_conflict_that_names_it(client_with_auth, owner, admin):
    store = make_store(owner_id=owner.pk)
    response = client_with_auth.delete(f"/api/v2/users/{owner.pk}", headers=admin | ANY)
    assert (response.status_code, response.json["code"]) == (409, "in-use")
    assert [entry["detail"] for entry in response.json["errors"]] == [
        f"Store {store.pk} belongs to the user."
    ]
