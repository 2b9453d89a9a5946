"""Ownership of stores: a merchant may write their own stores, an admin any."""

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.stores.models import Store
from tests.answers import error_pointers
from tests.domains.stores.conftest import REQUIRED
from tests.factories import make_store, make_user, reload, sign_in

URL = "/api/v2/stores"
ANY = {"If-Match": "*"}


def missing_permission(response):
    assert response.status_code == 403
    return response.json["errors"][0]["permission"]


def test_the_owner_is_the_caller_by_default(create_store, owner):
    assert create_store().json["owner_id"] == str(owner.pk)


def test_the_caller_can_name_themselves_as_the_owner(create_store, owner):
    assert create_store(owner_id=str(owner.pk)).json["owner_id"] == str(owner.pk)


def test_a_merchant_cannot_create_a_store_of_another_user(create_store):
    other = make_user(role="merchant")
    assert missing_permission(create_store(owner_id=str(other.pk))) == "stores:write:any"
    assert db.session.query(Store).count() == 0


def test_a_merchant_cannot_create_a_store_without_an_owner(create_store):
    assert missing_permission(create_store(owner_id=None)) == "stores:write:any"


def test_a_merchant_gets_the_same_error_for_known_and_unknown_users(create_store):
    responses = [create_store(owner_id=str(pk)) for pk in (make_user().pk, uuid7())]
    assert [response.status_code for response in responses] == [403, 403]


@pytest.mark.parametrize("new_owner", ["another user", None])
def test_an_owner_cannot_change_the_owner(client_with_auth, owner, owner_headers, new_owner):
    store = make_store(owner_id=owner.pk, name="The Ladle")
    owner_id = str(make_user().pk) if new_owner else None
    changes = {"owner_id": owner_id, "name": "Changed"}
    response = client_with_auth.patch(
        f"{URL}/{store.pk}", json=changes, headers=owner_headers | ANY
    )
    assert missing_permission(response) == "stores:write:any"
    assert (reload(store).owner_id, reload(store).name) == (owner.pk, "The Ladle")


@pytest.mark.parametrize("is_owned", [True, False])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_store_of_another_user_cannot_be_changed(client_with_auth, stranger, method, is_owned):
    store = make_store(owner_id=make_user(role="merchant").pk if is_owned else None)
    url, body = f"{URL}/{store.pk}", {"name": "Stolen"}
    response = client_with_auth.open(url, method=method, json=body, headers=stranger | ANY)
    assert missing_permission(response) == "stores:write:any"
    assert reload(store).name == store.name


def test_the_403_for_a_store_of_another_user_precedes_other_errors(client_with_auth, stranger):
    """403 precedes 428, 412 and 422."""
    url = f"{URL}/{make_store().pk}"
    assert (
        client_with_auth.patch(url, json={"currency": "EURO"}, headers=stranger).status_code == 403
    )


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_customer_cannot_change_a_store_that_they_own(client_with_auth, method):
    user = make_user()
    store = make_store(owner_id=user.pk)
    headers = sign_in(user) | ANY
    response = client_with_auth.open(f"{URL}/{store.pk}", method=method, json={}, headers=headers)
    assert missing_permission(response) == "stores:write"


def test_a_customer_cannot_create_a_store(create_store):
    assert missing_permission(create_store(sign_in(make_user()))) == "stores:write"


def test_creating_a_store_needs_a_token(create_store):
    response = create_store({})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_for_products_cannot_change_a_store(client_with_auth, owner):
    url = f"{URL}/{make_store(owner_id=owner.pk).pk}"
    scoped = sign_in(owner, "products:write") | ANY
    response = client_with_auth.patch(url, json={"name": "Changed"}, headers=scoped)
    assert missing_permission(response) == "stores:write"


def test_an_admin_without_the_permission_for_any_gets_a_403(client_with_auth):
    url = f"{URL}/{make_store(owner_id=make_user().pk).pk}"
    scoped = sign_in(make_user(role="admin"), "stores:write")
    assert client_with_auth.delete(url, headers=scoped | ANY).status_code == 403


def test_an_owner_can_change_and_delete_their_store(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_store(owner_id=owner.pk).pk}"
    assert (
        client_with_auth.patch(url, json={"name": "Mine"}, headers=owner_headers | ANY).json["name"]
        == "Mine"
    )
    assert client_with_auth.delete(url, headers=owner_headers | ANY).status_code == 204


def test_an_admin_can_change_give_and_delete_any_store(client_with_auth, owner, admin):
    url = f"{URL}/{make_store().pk}"
    response = client_with_auth.patch(url, json={"owner_id": str(owner.pk)}, headers=admin | ANY)
    assert response.json["owner_id"] == str(owner.pk)
    cleared = client_with_auth.patch(url, json={"owner_id": None}, headers=admin | ANY)
    assert cleared.json["owner_id"] is None
    assert client_with_auth.delete(url, headers=admin | ANY).status_code == 204


def test_an_admin_can_create_a_store_with_any_owner_or_none(create_store, owner, admin):
    assert create_store(admin, owner_id=str(owner.pk)).json["owner_id"] == str(owner.pk)
    assert create_store(admin, owner_id=None).json["owner_id"] is None


def test_an_unknown_owner_is_an_error_with_its_pointer(create_store, admin):
    response = create_store(admin, owner_id=str(uuid7()))
    assert response.status_code == 422
    [entry] = response.json["errors"]
    assert (entry["pointer"], entry["code"]) == ("#/owner_id", "unknown-reference")


def test_an_unknown_owner_is_reported_with_all_other_errors(client_with_auth, create_store, admin):
    url, invalid_fields = f"{URL}/{make_store().pk}", {"owner_id": str(uuid7()), "currency": "EURO"}
    for response in (
        create_store(admin, **invalid_fields),
        client_with_auth.patch(url, json=invalid_fields, headers=admin | ANY),
    ):
        assert response.status_code == 422
        pointers = error_pointers(response)
        assert pointers == {"#/owner_id", "#/currency"}


def test_with_open_access_a_store_has_no_owner_by_default(client):
    assert client.post(URL, json=REQUIRED).json["owner_id"] is None
