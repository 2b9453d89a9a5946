"""Whose stores are: a merchant writes their own, an admin any, and nobody else one."""

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.stores.models import Store
from tests.answers import error_pointers
from tests.factories import make_store, make_user, sign_in

URL = "/api/v2/stores"
ANY = {"If-Match": "*"}
STORE = {
    "name": "The Crooked Ladle",
    "street": "7 Tallow Lane",
    "zipcode": "1000",
    "city": "Brassel",
    "country": "Belgium",
    "currency": "EUR",
}


@pytest.fixture
def post(client_with_auth, owner_headers):
    """Return what opens a store."""

    def call(headers=owner_headers, **values):
        return client_with_auth.post(URL, json=STORE | values, headers=headers)

    return call


def row(store):
    db.session.rollback()
    return db.session.get(Store, store.pk, populate_existing=True)


def permission(response):
    assert response.status_code == 403
    return response.json["errors"][0]["permission"]


def test_a_store_is_of_who_opens_it(post, owner):
    assert post().json["owner_id"] == str(owner.pk)


def test_one_may_say_that_it_is_ones_own(post, owner):
    assert post(owner_id=str(owner.pk)).json["owner_id"] == str(owner.pk)


def test_nobody_opens_a_store_of_somebody_else(post):
    other = make_user(role="merchant")
    assert permission(post(owner_id=str(other.pk))) == "stores:write:any"
    assert db.session.query(Store).count() == 0


def test_nobody_opens_a_store_of_nobody(post):
    assert permission(post(owner_id=None)) == "stores:write:any"


def test_nobody_learns_which_users_exist(post):
    """A stranger's key and one that nobody has are answered alike."""
    responses = [post(owner_id=str(pk)) for pk in (make_user().pk, uuid7())]
    assert [response.status_code for response in responses] == [403, 403]


@pytest.mark.parametrize("whose", ["somebody else's", "nobody's"])
def test_nobody_gives_a_store_away(client_with_auth, owner, owner_headers, whose):
    store = make_store(owner_id=owner.pk, name="The Ladle")
    owner_id = str(make_user().pk) if whose == "somebody else's" else None
    changes = {"owner_id": owner_id, "name": "Changed"}
    response = client_with_auth.patch(
        f"{URL}/{store.pk}", json=changes, headers=owner_headers | ANY
    )
    assert permission(response) == "stores:write:any"
    assert (row(store).owner_id, row(store).name) == (owner.pk, "The Ladle")


@pytest.mark.parametrize("is_owned", [True, False])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_stores_of_others_are_not_found_by_whoever_would_change_them(
    client_with_auth, stranger, method, is_owned
):
    store = make_store(owner_id=make_user(role="merchant").pk if is_owned else None)
    url, body = f"{URL}/{store.pk}", {"name": "Stolen"}
    response = client_with_auth.open(url, method=method, json=body, headers=stranger | ANY)
    assert response.status_code == 404
    assert row(store).name == store.name


def test_stores_of_others_are_not_found_before_the_rest_is_looked_at(client_with_auth, stranger):
    """404 stands before 428, 412 and 422."""
    url = f"{URL}/{make_store().pk}"
    assert (
        client_with_auth.patch(url, json={"currency": "EURO"}, headers=stranger).status_code == 404
    )


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_customer_changes_no_store_not_even_one_that_was_theirs(client_with_auth, method):
    user = make_user()
    store = make_store(owner_id=user.pk)
    headers = sign_in(user) | ANY
    response = client_with_auth.open(f"{URL}/{store.pk}", method=method, json={}, headers=headers)
    assert permission(response) == "stores:write"


def test_a_customer_opens_no_store(post):
    assert permission(post(sign_in(make_user()))) == "stores:write"


def test_nobody_unknown_opens_a_store(post):
    response = post({})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_merchant_whose_token_is_for_products_changes_no_store(client_with_auth, owner):
    url = f"{URL}/{make_store(owner_id=owner.pk).pk}"
    narrowed = sign_in(owner, "products:write") | ANY
    response = client_with_auth.patch(url, json={"name": "Changed"}, headers=narrowed)
    assert permission(response) == "stores:write"


def test_an_admin_whose_token_has_not_the_permission_for_any_is_a_stranger(client_with_auth):
    url = f"{URL}/{make_store(owner_id=make_user().pk).pk}"
    narrowed = sign_in(make_user(role="admin"), "stores:write")
    assert client_with_auth.delete(url, headers=narrowed | ANY).status_code == 404


def test_an_owner_changes_and_closes_their_store(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_store(owner_id=owner.pk).pk}"
    assert (
        client_with_auth.patch(url, json={"name": "Mine"}, headers=owner_headers | ANY).json["name"]
        == "Mine"
    )
    assert client_with_auth.delete(url, headers=owner_headers | ANY).status_code == 204


def test_an_admin_changes_gives_and_closes_any_store(client_with_auth, owner, admin):
    url = f"{URL}/{make_store().pk}"
    response = client_with_auth.patch(url, json={"owner_id": str(owner.pk)}, headers=admin | ANY)
    assert response.json["owner_id"] == str(owner.pk)
    cleared = client_with_auth.patch(url, json={"owner_id": None}, headers=admin | ANY)
    assert cleared.json["owner_id"] is None
    assert client_with_auth.delete(url, headers=admin | ANY).status_code == 204


def test_an_admin_opens_a_store_of_somebody_or_nobody(post, owner, admin):
    assert post(admin, owner_id=str(owner.pk)).json["owner_id"] == str(owner.pk)
    assert post(admin, owner_id=None).json["owner_id"] is None


def test_an_owner_that_does_not_exist_is_told_with_its_pointer(post, admin):
    response = post(admin, owner_id=str(uuid7()))
    assert response.status_code == 422
    [entry] = response.json["errors"]
    assert (entry["pointer"], entry["code"]) == ("#/owner_id", "unknown-reference")


def test_an_unknown_owner_is_told_with_all_else_that_is_wrong(client_with_auth, post, admin):
    url, unknown = f"{URL}/{make_store().pk}", {"owner_id": str(uuid7()), "currency": "EURO"}
    for response in (
        post(admin, **unknown),
        client_with_auth.patch(url, json=unknown, headers=admin | ANY),
    ):
        assert response.status_code == 422
        pointers = error_pointers(response)
        assert pointers == {"#/owner_id", "#/currency"}


def test_with_open_access_a_store_is_nobodys_by_default(client):
    assert client.post(URL, json=STORE).json["owner_id"] is None
