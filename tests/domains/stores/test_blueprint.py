"""Stores over HTTP."""

from uuid import UUID

import pytest

from alchemist import database as db
from alchemist.domains.stores.models import Store
from tests.answers import pointers_and_codes
from tests.domains.stores.conftest import REQUIRED
from tests.factories import make_store

URL = "/api/v2/stores"
ANY = {"If-Match": "*"}
OPTIONAL = {
    "domain": "https://ladle.example",
    "phone": "+32 2 555 01 23",
    "email": "ladle@alchemist.example",
}


def test_the_response_to_a_creation_has_every_field(create_store, owner):
    response = create_store()
    assert response.status_code == 201
    created = response.json
    assert list(created) == [
        *("pk", "name", "street", "zipcode", "city", "country", "currency"),
        *("domain", "phone", "email", "owner_id", "reference", "created_at", "updated_at"),
    ]
    assert {name: created[name] for name in REQUIRED} == REQUIRED
    assert {created[name] for name in OPTIONAL} == {None}


def test_a_new_store_is_public_at_its_location(client_with_auth, create_store):
    created = create_store(**OPTIONAL)
    fetched = client_with_auth.get(created.location)
    assert fetched.json == created.json
    assert fetched.headers["ETag"] == created.headers["ETag"]


def test_several_stores_may_have_the_same_name(create_store):
    assert {create_store().status_code for _ in range(2)} == {201}


def test_all_missing_fields_are_reported_together(client_with_auth, owner_headers):
    response = client_with_auth.post(URL, json={}, headers=owner_headers)
    assert response.status_code == 422
    assert pointers_and_codes(response) == {(f"#/{field}", "required") for field in REQUIRED}


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_clears_an_optional_field(client_with_auth, owner, owner_headers, field):
    url = f"{URL}/{make_store(owner_id=owner.pk, **OPTIONAL).pk}"
    changed = client_with_auth.patch(url, json={field: None}, headers=owner_headers | ANY)
    assert changed.status_code == 200
    assert {name: changed.json[name] for name in OPTIONAL} == OPTIONAL | {field: None}


def test_a_field_that_is_absent_from_a_patch_is_unchanged(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_store(owner_id=owner.pk, **OPTIONAL).pk}"
    before = client_with_auth.get(url).json
    changed = client_with_auth.patch(
        url, json={"name": "Changed"}, headers=owner_headers | ANY
    ).json
    assert changed["updated_at"] > before["updated_at"]
    assert changed == before | {"name": "Changed", "updated_at": changed["updated_at"]}


def test_a_representation_can_be_sent_back_unchanged(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_store(owner_id=owner.pk, **OPTIONAL).pk}"
    fetched = client_with_auth.get(url)
    headers = owner_headers | {"If-Match": fetched.headers["ETag"]}
    response = client_with_auth.patch(url, json=fetched.json, headers=headers)
    assert (response.status_code, response.json) == (200, fetched.json)


@pytest.mark.parametrize("field", ["pk", "created_at", "updated_at"])
def test_a_read_only_field_cannot_be_changed(client_with_auth, owner, owner_headers, field):
    store = make_store(owner_id=owner.pk)
    before = client_with_auth.get(f"{URL}/{store.pk}").json
    body = {field: str(UUID(int=0)), "name": "Changed"}
    response = client_with_auth.patch(f"{URL}/{store.pk}", json=body, headers=owner_headers | ANY)
    assert pointers_and_codes(response) == {(f"#/{field}", "read-only")}
    assert client_with_auth.get(f"{URL}/{store.pk}").json == before


def test_a_repeated_creation_creates_one_store(create_store, owner_headers):
    original, repeated = (
        create_store(owner_headers | {"Idempotency-Key": "one"}) for _ in range(2)
    )
    assert repeated.data == original.data
    assert repeated.headers["Idempotent-Replayed"] == "true"
    assert db.session.query(Store).count() == 1
