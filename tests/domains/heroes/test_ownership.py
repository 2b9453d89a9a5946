"""Ownership of heroes: a user may write their own heroes, an admin any."""

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.heroes.models import Hero
from tests.answers import pointers_and_codes
from tests.factories import make_hero, make_user, reload, sign_in

URL = "/api/v2/heroes"
ANY = {"If-Match": "*"}


def test_a_customer_cannot_create_a_hero_of_another_user(create_hero):
    other = make_user()
    response = create_hero(user_id=str(other.pk))
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "heroes:write:any"
    assert db.session.query(Hero).filter_by(user_id=other.pk).count() == 0


def test_a_customer_cannot_create_a_hero_without_an_owner(create_hero):
    assert create_hero(user_id=None).status_code == 403


def test_the_caller_can_name_themselves_as_the_owner(create_hero, owner):
    assert create_hero(user_id=str(owner.pk)).json["user_id"] == str(owner.pk)


def test_no_error_reveals_which_users_exist(client_with_auth, create_hero, owner, owner_headers):
    url = f"{URL}/{make_hero(user_id=owner.pk).pk}"
    for extra_fields, status in [({}, 403), ({"role": "king"}, 422)]:
        bodies = [{"user_id": str(pk)} | extra_fields for pk in (make_user().pk, uuid7())]
        created = [create_hero(**body) for body in bodies]
        changed = [
            client_with_auth.patch(url, json=body, headers=owner_headers | ANY) for body in bodies
        ]
        for known, unknown in (created, changed):
            assert known.status_code == unknown.status_code == status
            assert known.json["errors"] == unknown.json["errors"]


def test_an_unknown_user_is_reported_with_all_other_errors(client):
    """With open access the caller may learn which users exist."""
    url, unknown_user = f"{URL}/{make_hero().pk}", {"user_id": str(uuid7())}
    make_hero(nickname="Thistle")
    cases = [
        ({"role": "king"}, {("#/role", "not-one-of"), ("#/user_id", "unknown-reference")}),
        ({}, {("#/user_id", "unknown-reference")}),
    ]
    for extra_fields, expected in cases:
        body = {"nickname": "Thistle"} | unknown_user | extra_fields
        for response in (client.post(URL, json=body), client.patch(url, json=body, headers=ANY)):
            assert (response.status_code, pointers_and_codes(response)) == (422, expected)


def test_an_unknown_user_costs_an_admin_one_statement(create_hero, statements):
    admin = sign_in(make_user(role="admin"))
    create_hero(admin, nickname="Moss")
    with statements() as executed:
        assert create_hero(admin, user_id=str(uuid7())).status_code == 422
    assert len(executed) == 1


@pytest.mark.parametrize("new_owner", ["another user", None])
def test_an_owner_cannot_change_the_owner(client_with_auth, owner, owner_headers, new_owner):
    hero = make_hero(user_id=owner.pk, nickname="Moss")
    user_id = str(make_user().pk) if new_owner else None
    changes = {"user_id": user_id, "nickname": "Changed"}
    response = client_with_auth.patch(f"{URL}/{hero.pk}", json=changes, headers=owner_headers | ANY)
    assert response.status_code == 403
    assert (reload(hero).user_id, reload(hero).nickname) == (owner.pk, "Moss")


@pytest.mark.parametrize("is_owned", [True, False])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_hero_of_another_user_cannot_be_changed(
    client_with_auth, owner_headers, method, is_owned
):
    hero = make_hero(user_id=make_user().pk if is_owned else None)
    url, body = f"{URL}/{hero.pk}", {"nickname": "Stolen"}
    response = client_with_auth.open(url, method=method, json=body, headers=owner_headers | ANY)
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "heroes:write:any"
    assert reload(hero).nickname == hero.nickname


def test_the_403_for_a_hero_of_another_user_precedes_other_errors(client_with_auth, owner_headers):
    """403 precedes 428, 412 and 422."""
    url = f"{URL}/{make_hero().pk}"
    assert (
        client_with_auth.patch(url, json={"role": "king"}, headers=owner_headers).status_code == 403
    )


def test_a_merchant_cannot_delete_a_hero_of_another_user(client_with_auth):
    url = f"{URL}/{make_hero(user_id=make_user().pk).pk}"
    merchant = sign_in(make_user(role="merchant"))
    assert client_with_auth.delete(url, headers=merchant | ANY).status_code == 403


def test_an_admin_without_the_permission_for_any_gets_a_403(client_with_auth):
    hero = make_hero(user_id=make_user().pk)
    scoped = sign_in(make_user(role="admin"), "heroes:write")
    assert client_with_auth.delete(f"{URL}/{hero.pk}", headers=scoped | ANY).status_code == 403


def test_an_admin_can_change_give_and_delete_any_hero(client_with_auth, owner):
    admin = sign_in(make_user(role="admin")) | ANY
    url = f"{URL}/{make_hero().pk}"
    response = client_with_auth.patch(url, json={"user_id": str(owner.pk)}, headers=admin)
    assert response.json["user_id"] == str(owner.pk)
    assert (
        client_with_auth.patch(url, json={"user_id": None}, headers=admin).json["user_id"] is None
    )
    assert client_with_auth.delete(url, headers=admin).status_code == 204
    assert client_with_auth.get(url).status_code == 404


def test_an_owner_can_delete_their_hero(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_hero(user_id=owner.pk).pk}"
    assert client_with_auth.delete(url, headers=owner_headers | ANY).status_code == 204
    assert client_with_auth.get(url).status_code == 404


def test_an_unknown_owner_is_an_error_with_its_pointer(create_hero):
    response = create_hero(sign_in(make_user(role="admin")), user_id=str(uuid7()))
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/user_id", "unknown-reference")}


def test_a_customer_gets_the_same_error_for_known_and_unknown_users(create_hero):
    responses = [create_hero(user_id=str(pk)) for pk in (make_user().pk, uuid7())]
    assert [response.status_code for response in responses] == [403, 403]


def test_with_open_access_a_hero_has_no_owner_by_default(client):
    assert client.post(URL, json={"nickname": "Moss"}).json["user_id"] is None
