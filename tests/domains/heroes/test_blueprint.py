"""Heroes over HTTP."""

from uuid import UUID

import pytest

from tests.answers import pointers_and_codes
from tests.factories import make_hero, make_user, reload, sign_in

URL = "/api/v2/heroes"
ANY = {"If-Match": "*"}
ROLES = ["mage", "assassin", "warrior", "priest", "tank"]


def test_the_response_to_a_creation_has_every_field(create_hero, owner):
    response = create_hero(role="mage")
    assert response.status_code == 201
    created = response.json
    assert set(created) == {"pk", "nickname", "role", "user_id", "created_at", "updated_at"}
    assert (created["nickname"], created["role"], created["user_id"]) == (
        "Thistle",
        "mage",
        str(owner.pk),
    )


def test_a_new_hero_is_public_at_its_location(client_with_auth, create_hero):
    created = create_hero()
    fetched = client_with_auth.get(created.location)
    assert fetched.json == created.json
    assert fetched.headers["ETag"] == created.headers["ETag"]


@pytest.mark.parametrize("role", [*ROLES, None])
def test_a_hero_can_have_every_role_or_null(create_hero, role):
    assert create_hero(role=role).json["role"] == role


def test_the_role_is_null_by_default(create_hero):
    assert create_hero().json["role"] is None


@pytest.mark.parametrize("role", ["king", "", "MAGE", "mage "])
def test_an_unknown_role_is_an_error_with_its_pointer(create_hero, role):
    response = create_hero(role=role)
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/role", "not-one-of")}


def test_null_clears_the_role(client_with_auth, owner, owner_headers):
    hero = make_hero(user_id=owner.pk, role="tank")
    response = client_with_auth.patch(
        f"{URL}/{hero.pk}", json={"role": None}, headers=owner_headers | ANY
    )
    assert response.json["role"] is None


def test_a_field_that_is_absent_from_a_patch_is_unchanged(client_with_auth, owner, owner_headers):
    hero = make_hero(user_id=owner.pk, role="tank")
    response = client_with_auth.patch(
        f"{URL}/{hero.pk}", json={"nickname": "Moss"}, headers=owner_headers | ANY
    )
    assert (response.json["nickname"], response.json["role"]) == ("Moss", "tank")


@pytest.mark.parametrize("length", [1, 255])
def test_a_nickname_has_1_to_255_characters(create_hero, length):
    assert create_hero(nickname="é" * length).json["nickname"] == "é" * length


@pytest.mark.parametrize(
    ("nickname", "code"), [("", "too-short"), (" \t", "too-short"), ("a" * 256, "too-long")]
)
def test_a_nickname_of_another_length_is_rejected(create_hero, nickname, code):
    assert pointers_and_codes(create_hero(nickname=nickname)) == {("#/nickname", code)}


@pytest.mark.parametrize(
    ("taken", "nickname"),
    [
        ("Thistle", "Thistle"),
        ("Thistle", " Thistle "),
        ("Thistle", "THISTLE"),
        ("Thistle", "This\u200btle"),
        ("ΧΡΟΝΟΣ", "χρονος"),
        ("Straße", "STRASSE"),
        ("\ufdfa" * 255, "\ufdfa" * 255),
    ],
)
def test_a_nickname_in_use_is_a_conflict_that_names_it(create_hero, taken, nickname):
    make_hero(nickname=taken)
    response = create_hero(nickname=nickname)
    assert response.status_code == 409
    assert pointers_and_codes(response) == {("#/nickname", "already-exists")}
    assert nickname in response.json["detail"]


def test_a_nickname_that_looks_different_is_free(create_hero):
    make_hero(
        nickname="Genepi \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    )
    assert create_hero(nickname="Génépi \U0001f3f4").status_code == 201
    assert create_hero(nickname="Genepi \U0001f3f4").status_code == 201


def test_a_change_to_a_nickname_in_use_is_a_conflict(client_with_auth, owner, owner_headers):
    make_hero(nickname="Thistle")
    hero = make_hero(nickname="Moss", user_id=owner.pk)
    response = client_with_auth.patch(
        f"{URL}/{hero.pk}", json={"nickname": "Thistle"}, headers=owner_headers | ANY
    )
    assert response.status_code == 409
    assert reload(hero).nickname == "Moss"


# If-Match


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_changes_and_deletions_need_if_match(client_with_auth, owner, owner_headers, method):
    hero = make_hero(user_id=owner.pk)
    response = client_with_auth.open(
        f"{URL}/{hero.pk}", method=method, json={}, headers=owner_headers
    )
    assert response.status_code == 428
    assert reload(hero) is not None


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stale_etag_gets_a_412_with_the_current_hero(
    client_with_auth, owner, owner_headers, method
):
    url = f"{URL}/{make_hero(user_id=owner.pk).pk}"
    stale_etag = client_with_auth.get(url).headers["ETag"]
    changed = client_with_auth.patch(
        url, json={"nickname": "Moss"}, headers=owner_headers | {"If-Match": stale_etag}
    )
    assert changed.status_code == 200
    headers = owner_headers | {"If-Match": stale_etag}
    response = client_with_auth.open(url, method=method, json={"nickname": "Lost"}, headers=headers)
    assert response.status_code == 412
    assert response.json["current"] == changed.json
    assert response.headers["ETag"] == changed.headers["ETag"]


def test_the_current_etag_is_accepted(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_hero(user_id=owner.pk).pk}"
    headers = owner_headers | {"If-Match": client_with_auth.get(url).headers["ETag"]}
    assert client_with_auth.delete(url, headers=headers).status_code == 204


def test_a_matching_if_none_match_gets_a_304(client_with_auth):
    url = f"{URL}/{make_hero().pk}"
    etag = client_with_auth.get(url).headers["ETag"]
    response = client_with_auth.get(url, headers={"If-None-Match": f"W/{etag}"})
    assert (response.status_code, response.headers["ETag"]) == (304, etag)


@pytest.mark.parametrize("pk", ["0", "x", UUID(int=0).hex, "01935f2e-7c1a-7b3e-9d3c-0123456789ab"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_missing_hero_is_404(client_with_auth, owner_headers, method, pk):
    response = client_with_auth.open(
        f"{URL}/{pk}", method=method, json={}, headers=owner_headers | ANY
    )
    assert response.status_code == 404


def test_an_idempotency_key_of_two_users_creates_two_heroes(create_hero):
    responses = [
        create_hero(sign_in(make_user()) | {"Idempotency-Key": "one"}, nickname=name)
        for name in ("Moss", "Fern")
    ]
    assert [response.json.get("nickname") for response in responses] == ["Moss", "Fern"]


def test_an_idempotency_key_of_one_user_with_two_tokens_creates_one_hero(create_hero, owner):
    responses = [create_hero(sign_in(owner) | {"Idempotency-Key": "one"}) for _ in range(2)]
    assert responses[0].data == responses[1].data
    assert responses[1].headers["Idempotent-Replayed"] == "true"
