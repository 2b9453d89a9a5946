"""The heroes of v1, key by key."""

from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.heroes.models import Hero
from tests.answers import error_pointers
from tests.factories import make_hero, make_user, sign_in

URL = "/api/v1/heroes"
ABSENT = "The hero hasn't been found!"


@pytest.fixture
def owner(client_with_auth):
    return make_user()


@pytest.fixture
def owner_headers(owner):
    """The headers of a request of the owner."""
    return sign_in(owner)


@pytest.fixture
def hero(owner):
    return make_hero(user_id=owner.pk, nickname="Thistle", role="mage")


def row(hero):
    db.session.rollback()
    return db.session.get(Hero, hero.pk, populate_existing=True)


def test_a_new_hero_is_answered_with_201_and_three_keys(client_with_auth, owner_headers):
    answer = client_with_auth.post(
        URL, json={"nickname": "Thistle", "role": "mage"}, headers=owner_headers
    )
    assert answer.status_code == 201
    assert list(answer.json) == ["uuid", "nickname", "role"]
    assert answer.json == {"uuid": answer.json["uuid"], "nickname": "Thistle", "role": "mage"}
    assert str(UUID(answer.json["uuid"])) == answer.json["uuid"]


def test_a_new_hero_is_the_callers(client_with_auth, owner, owner_headers):
    made = client_with_auth.post(URL, json={"nickname": "Thistle"}, headers=owner_headers).json
    assert made["role"] is None
    shown = client_with_auth.get(f"/api/v2/heroes/{made['uuid']}").json
    assert (shown["user_id"], shown["nickname"]) == (str(owner.pk), "Thistle")


def test_a_hero_is_found_by_anybody(client_with_auth, hero):
    answer = client_with_auth.get(f"{URL}/{hero.pk}")
    assert answer.status_code == 200
    assert answer.json == {"uuid": str(hero.pk), "nickname": "Thistle", "role": "mage"}


def test_a_change_is_answered_with_the_hero(client_with_auth, hero, owner_headers):
    answer = client_with_auth.patch(
        f"{URL}/{hero.pk}", json={"nickname": "Moss"}, headers=owner_headers
    )
    assert answer.status_code == 200
    assert answer.json == {"uuid": str(hero.pk), "nickname": "Moss", "role": "mage"}
    assert client_with_auth.get(f"{URL}/{hero.pk}").json == answer.json


def test_null_clears_the_role(client_with_auth, hero, owner_headers):
    answer = client_with_auth.patch(f"{URL}/{hero.pk}", json={"role": None}, headers=owner_headers)
    assert answer.json["role"] is None
    assert row(hero).role is None


def test_a_patch_of_nothing_changes_nothing(client_with_auth, hero, owner_headers):
    answer = client_with_auth.patch(f"{URL}/{hero.pk}", json={}, headers=owner_headers)
    assert answer.json == {"uuid": str(hero.pk), "nickname": "Thistle", "role": "mage"}


def test_a_deletion_is_answered_with_200_and_a_message(client_with_auth, hero, owner_headers):
    answer = client_with_auth.delete(f"{URL}/{hero.pk}", headers=owner_headers)
    assert answer.status_code == 200
    assert answer.json == {"status": True, "message": "The hero has been deleted!"}
    assert client_with_auth.get(f"{URL}/{hero.pk}").status_code == 404


def test_no_change_needs_if_match_and_none_heeds_it(client_with_auth, hero, owner_headers):
    stale = owner_headers | {"If-Match": '"precondition-failed"'}
    assert (
        client_with_auth.patch(f"{URL}/{hero.pk}", json={"role": "tank"}, headers=stale).status_code
        == 200
    )
    assert client_with_auth.delete(f"{URL}/{hero.pk}", headers=stale).status_code == 200


@pytest.mark.parametrize("pk", ["0", "x", "0" * 32, f"{UUID(int=0)}", f"{UUID(int=0)}0"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_unknown_hero_is_404(client_with_auth, owner_headers, method, pk):
    answer = client_with_auth.open(f"{URL}/{pk}", method=method, json={}, headers=owner_headers)
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_missing_row_is_404_with_the_detail_of_v1(client_with_auth, owner_headers, method):
    answer = client_with_auth.open(
        f"{URL}/{uuid7()}", method=method, json={}, headers=owner_headers
    )
    assert answer.json["detail"] == ABSENT


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_changing_the_hero_of_another_user_is_403(client_with_auth, hero, method):
    stranger = sign_in(make_user())
    answer = client_with_auth.open(
        f"{URL}/{hero.pk}", method=method, json={"role": None}, headers=stranger
    )
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "heroes:write:any"
    assert row(hero).role == "mage"


def test_an_admin_changes_and_deletes_any_hero(client_with_auth, hero):
    admin = sign_in(make_user(role="admin"))
    assert (
        client_with_auth.patch(f"{URL}/{hero.pk}", json={"role": None}, headers=admin).status_code
        == 200
    )
    assert client_with_auth.delete(f"{URL}/{hero.pk}", headers=admin).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_is_not_known_is_ignored(client_with_auth, owner, hero, owner_headers, method):
    """Above all whose hero it is: that could not be said, so it cannot be changed."""
    body = {"nickname": "Moss", "user_id": str(make_user().pk), "uuid": "x", "level": 3}
    url = URL if method == "POST" else f"{URL}/{hero.pk}"
    answer = client_with_auth.open(url, method=method, json=body, headers=owner_headers)
    assert answer.status_code in (200, 201)
    assert set(answer.json) == {"uuid", "nickname", "role"}
    shown = client_with_auth.get(f"/api/v2/heroes/{answer.json['uuid']}").json
    assert shown["user_id"] == str(owner.pk)


@pytest.mark.parametrize("nickname", ["Thistle", "THISTLE", "\uff34histle"])
def test_a_taken_nickname_is_a_conflict(client_with_auth, hero, owner_headers, nickname):
    answer = client_with_auth.post(URL, json={"nickname": nickname}, headers=owner_headers)
    assert answer.status_code == 409
    [error] = answer.json["errors"]
    assert error["pointer"] == "#/nickname"
    assert nickname in error["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/nickname"),
        ({"nickname": ""}, "#/nickname"),
        ({"nickname": "M", "role": "king"}, "#/role"),
    ],
)
def test_an_invalid_field_is_reported_with_its_pointer(
    client_with_auth, owner_headers, body, pointer
):
    answer = client_with_auth.post(URL, json=body, headers=owner_headers)
    assert answer.status_code == 422
    assert error_pointers(answer) == {pointer}


@pytest.mark.parametrize(
    "data", [b"{", b'{"nickname": "a", "nickname": "b"}', b'{"nickname": NaN}']
)
def test_a_body_is_read_as_strictly_as_in_version_2(client_with_auth, owner_headers, data):
    answer = client_with_auth.post(
        URL, data=data, content_type="application/json", headers=owner_headers
    )
    assert answer.status_code == 400


def test_paths_answer_with_and_without_a_slash(client_with_auth, hero, owner_headers):
    assert (
        client_with_auth.post(
            f"{URL}/", json={"nickname": "Moss"}, headers=owner_headers
        ).status_code
        == 201
    )
    url = f"{URL}/{hero.pk}/"
    assert client_with_auth.get(url).status_code == 200
    assert (
        client_with_auth.patch(url, json={"role": None}, headers=owner_headers).status_code == 200
    )
    assert client_with_auth.delete(url, headers=owner_headers).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_without_a_token_nothing_is_written(client_with_auth, hero, method):
    url = URL if method == "POST" else f"{URL}/{hero.pk}"
    answer = client_with_auth.open(url, method=method, json={"nickname": "Moss"})
    assert answer.status_code == 401
    assert row(hero).nickname == "Thistle"


ANSWERS = {
    "found": ("GET", None, 200),
    "changed": ("PATCH", {"role": None}, 200),
    "refused": ("PATCH", {"role": "king"}, 422),
    "malformed-request": ("PATCH", "x", 422),
    "deleted": ("DELETE", None, 200),
    "another method": ("PUT", {}, 405),
    "options": ("OPTIONS", None, 204),
    "head": ("HEAD", None, 200),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_says_that_this_is_old_and_what_succeeds_it(
    client_with_auth, hero, owner_headers, name
):
    method, body, status = ANSWERS[name]
    answer = client_with_auth.open(
        f"{URL}/{hero.pk}", method=method, json=body, headers=owner_headers
    )
    assert answer.status_code == status
    assert answer.headers["Deprecation"].startswith("@")
    successor = "openapi.json" if status == 405 else f"heroes/{hero.pk}"
    assert answer.headers["Link"] == f'</api/v2/{successor}>; rel="successor-version"'


@pytest.mark.parametrize("pk", ["x", str(UUID(int=0))])
def test_an_answer_that_something_is_missing_says_it_too(client_with_auth, pk):
    answer = client_with_auth.get(f"{URL}/{pk}")
    assert answer.status_code == 404
    assert "Deprecation" in answer.headers
    assert 'rel="successor-version"' in answer.headers["Link"]


def test_a_401_has_the_headers_of_v1(client_with_auth, hero):
    answer = client_with_auth.delete(f"{URL}/{hero.pk}")
    assert answer.status_code == 401
    assert "Deprecation" in answer.headers


def test_version_2_is_not_deprecated(client_with_auth, hero):
    assert "Deprecation" not in client_with_auth.get(f"/api/v2/heroes/{hero.pk}").headers
