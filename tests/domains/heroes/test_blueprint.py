"""Heroes over HTTP."""

from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.heroes.models import Hero
from tests.answers import pointers_and_codes, read_all_pages
from tests.factories import make_hero, make_user, reload, sign_in

URL = "/api/v2/heroes"
ANY = {"If-Match": "*"}
ROLES = ["mage", "assassin", "warrior", "priest", "tank"]


@pytest.fixture
def owner(client_with_auth):
    return make_user()


@pytest.fixture
def owner_headers(owner):
    """The headers of a request of the owner."""
    return sign_in(owner)


@pytest.fixture
def post(client_with_auth, owner_headers):
    """Return a function that creates a hero over HTTP."""

    def call(headers=owner_headers, **values):
        return client_with_auth.post(URL, json={"nickname": "Thistle"} | values, headers=headers)

    return call


@pytest.fixture
def nicknames(client_with_auth):
    """Return a function that returns the nicknames of the heroes in a list."""

    def call(**query):
        response = client_with_auth.get(URL, query_string=query)
        assert response.status_code == 200, response.text
        return [hero["nickname"] for hero in response.json]

    return call


def test_the_response_to_a_creation_has_every_field(post, owner):
    response = post(role="mage")
    assert response.status_code == 201
    created = response.json
    assert set(created) == {"pk", "nickname", "role", "user_id", "created_at", "updated_at"}
    assert (created["nickname"], created["role"], created["user_id"]) == (
        "Thistle",
        "mage",
        str(owner.pk),
    )


def test_a_new_hero_is_public_at_its_location(client_with_auth, post):
    created = post()
    fetched = client_with_auth.get(created.location)
    assert fetched.json == created.json
    assert fetched.headers["ETag"] == created.headers["ETag"]


@pytest.mark.parametrize("role", [*ROLES, None])
def test_a_hero_can_have_every_role_or_null(post, role):
    assert post(role=role).json["role"] == role


def test_the_role_is_null_by_default(post):
    assert post().json["role"] is None


@pytest.mark.parametrize("role", ["king", "", "MAGE", "mage "])
def test_an_unknown_role_is_an_error_with_its_pointer(post, role):
    response = post(role=role)
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
def test_a_nickname_has_1_to_255_characters(post, length):
    assert post(nickname="é" * length).json["nickname"] == "é" * length


@pytest.mark.parametrize(
    ("nickname", "code"), [("", "too-short"), (" \t", "too-short"), ("a" * 256, "too-long")]
)
def test_a_nickname_of_another_length_is_rejected(post, nickname, code):
    assert pointers_and_codes(post(nickname=nickname)) == {("#/nickname", code)}


@pytest.mark.parametrize("nickname", ["Thistle", " Thistle "])
def test_a_nickname_in_use_is_a_conflict_that_names_it(post, nickname):
    make_hero(nickname="Thistle")
    response = post(nickname=nickname)
    assert response.status_code == 409
    assert pointers_and_codes(response) == {("#/nickname", "already-exists")}
    assert "Thistle" in response.json["detail"]


def test_a_change_to_a_nickname_in_use_is_a_conflict(client_with_auth, owner, owner_headers):
    make_hero(nickname="Thistle")
    hero = make_hero(nickname="Moss", user_id=owner.pk)
    response = client_with_auth.patch(
        f"{URL}/{hero.pk}", json={"nickname": "Thistle"}, headers=owner_headers | ANY
    )
    assert response.status_code == 409
    assert reload(hero).nickname == "Moss"


# Lists


def test_the_role_filter_finds_heroes_with_that_role(nicknames):
    make_hero(nickname="Moss", role="mage")
    make_hero(role="tank")
    make_hero()
    assert nicknames(role="mage") == ["Moss"]


def test_the_user_filter_finds_heroes_of_that_user(nicknames, owner):
    make_hero(nickname="Moss", user_id=owner.pk)
    make_hero(user_id=make_user().pk)
    make_hero()
    assert nicknames(user_id=str(owner.pk)) == ["Moss"]
    assert nicknames(user_id=str(uuid7())) == []


@pytest.mark.parametrize("q", ["thistle", "THISTLE brother", "brother"])
def test_q_finds_words_of_the_nickname_in_any_order_and_case(nicknames, q):
    make_hero(nickname="Brother Thistle")
    make_hero(nickname="Thistledown Brothers")
    assert nicknames(q=q) == ["Brother Thistle"]


def test_filters_are_combined_with_and(nicknames, owner):
    make_hero(nickname="Brother Moss", role="mage", user_id=owner.pk)
    make_hero(nickname="Sister Moss", role="tank", user_id=owner.pk)
    make_hero(nickname="Father Moss", role="mage")
    assert nicknames(q="moss", role="mage", user_id=str(owner.pk)) == ["Brother Moss"]


@pytest.mark.parametrize(
    "query",
    [
        "role=king",
        "role=null",
        "user_id=x",
        "user_id=",
        "q=",
        "nickname=Moss",
        "role=mage&role=tank",
    ],
)
def test_an_invalid_filter_is_rejected(client_with_auth, query):
    assert client_with_auth.get(f"{URL}?{query}").status_code == 422


@pytest.mark.parametrize("sort", ["nickname", "-nickname", "created_at", "-created_at", "-pk"])
def test_every_page_of_a_sorted_list_can_be_followed(client_with_auth, sort):
    nicknames = sorted(make_hero(nickname=name, role="tank").nickname for name in "cabed")
    rows = read_all_pages(client_with_auth, f"{URL}?role=tank&limit=2&sort={sort}")
    listed = [hero["nickname"] for hero in rows]
    assert sorted(listed) == nicknames
    if "nickname" in sort:
        assert listed == (nicknames[::-1] if sort.startswith("-") else nicknames)


@pytest.mark.parametrize("sort", ["role", "user_id", "updated_at"])
def test_an_undocumented_sort_key_is_rejected(client_with_auth, sort):
    assert client_with_auth.get(f"{URL}?sort={sort}").status_code == 422


def test_a_list_costs_one_statement(client_with_auth, statements):
    make_hero(user_id=make_user().pk)
    client_with_auth.get(URL)
    with statements() as executed:
        assert client_with_auth.get(URL).status_code == 200
    assert len(executed) == 1


# Ownership


def test_a_customer_cannot_create_a_hero_of_another_user(post):
    other = make_user()
    response = post(user_id=str(other.pk))
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "heroes:write:any"
    assert db.session.query(Hero).filter_by(user_id=other.pk).count() == 0


def test_a_customer_cannot_create_a_hero_without_an_owner(post):
    assert post(user_id=None).status_code == 403


def test_the_caller_can_name_themselves_as_the_owner(post, owner):
    assert post(user_id=str(owner.pk)).json["user_id"] == str(owner.pk)


def test_no_error_reveals_which_users_exist(client_with_auth, post, owner, owner_headers):
    url = f"{URL}/{make_hero(user_id=owner.pk).pk}"
    for extra_fields, status in [({}, 403), ({"role": "king"}, 422)]:
        bodies = [{"user_id": str(pk)} | extra_fields for pk in (make_user().pk, uuid7())]
        created = [post(**body) for body in bodies]
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


def test_an_unknown_user_costs_an_admin_one_statement(post, statements):
    admin = sign_in(make_user(role="admin"))
    post(admin, nickname="Moss")
    with statements() as executed:
        assert post(admin, user_id=str(uuid7())).status_code == 422
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
    assert response.status_code == 404
    assert reload(hero).nickname == hero.nickname


def test_the_404_for_a_hero_of_another_user_precedes_other_errors(client_with_auth, owner_headers):
    """404 precedes 428, 412 and 422."""
    url = f"{URL}/{make_hero().pk}"
    assert (
        client_with_auth.patch(url, json={"role": "king"}, headers=owner_headers).status_code == 404
    )


def test_a_merchant_cannot_delete_a_hero_of_another_user(client_with_auth):
    url = f"{URL}/{make_hero(user_id=make_user().pk).pk}"
    merchant = sign_in(make_user(role="merchant"))
    assert client_with_auth.delete(url, headers=merchant | ANY).status_code == 404


def test_an_admin_without_the_permission_for_any_gets_a_404(client_with_auth):
    hero = make_hero(user_id=make_user().pk)
    scoped = sign_in(make_user(role="admin"), "heroes:write")
    assert client_with_auth.delete(f"{URL}/{hero.pk}", headers=scoped | ANY).status_code == 404


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


def test_an_unknown_owner_is_an_error_with_its_pointer(post):
    response = post(sign_in(make_user(role="admin")), user_id=str(uuid7()))
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/user_id", "unknown-reference")}


def test_a_customer_gets_the_same_error_for_known_and_unknown_users(post):
    responses = [post(user_id=str(pk)) for pk in (make_user().pk, uuid7())]
    assert [response.status_code for response in responses] == [403, 403]


def test_with_open_access_a_hero_has_no_owner_by_default(client):
    assert client.post(URL, json={"nickname": "Moss"}).json["user_id"] is None


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


def test_an_idempotency_key_of_two_users_creates_two_heroes(post):
    responses = [
        post(sign_in(make_user()) | {"Idempotency-Key": "one"}, nickname=name)
        for name in ("Moss", "Fern")
    ]
    assert [response.json.get("nickname") for response in responses] == ["Moss", "Fern"]


def test_an_idempotency_key_of_one_user_with_two_tokens_creates_one_hero(post, owner):
    responses = [post(sign_in(owner) | {"Idempotency-Key": "one"}) for _ in range(2)]
    assert responses[0].data == responses[1].data
    assert responses[1].headers["Idempotent-Replayed"] == "true"
