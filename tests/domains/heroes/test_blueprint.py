"""Heroes, as their owners, strangers and an admin meet them."""

import re
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.heroes.models import Hero
from tests.answers import pointers_and_codes
from tests.factories import make_hero, make_user, sign_in

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
    """Return what creates a hero."""

    def call(headers=owner_headers, **values):
        return client_with_auth.post(URL, json={"nickname": "Thistle"} | values, headers=headers)

    return call


@pytest.fixture
def names(client_with_auth):
    """Return what lists the nicknames that a query finds."""

    def call(**query):
        response = client_with_auth.get(URL, query_string=query)
        assert response.status_code == 200, response.text
        return [hero["nickname"] for hero in response.json]

    return call


def row(hero):
    db.session.rollback()
    return db.session.get(Hero, hero.pk, populate_existing=True)


def test_a_new_hero_is_answered_with_every_field(post, owner):
    response = post(role="mage")
    assert response.status_code == 201
    created = response.json
    assert set(created) == {"pk", "nickname", "role", "user_id", "created_at", "updated_at"}
    assert (created["nickname"], created["role"], created["user_id"]) == (
        "Thistle",
        "mage",
        str(owner.pk),
    )


def test_a_new_hero_stands_at_its_location_for_anybody(client_with_auth, post):
    created = post()
    fetched = client_with_auth.get(created.location)
    assert fetched.json == created.json
    assert fetched.headers["ETag"] == created.headers["ETag"]


@pytest.mark.parametrize("role", [*ROLES, None])
def test_a_hero_has_a_known_role_or_none(post, role):
    assert post(role=role).json["role"] == role


def test_a_hero_without_a_role_has_none(post):
    assert post().json["role"] is None


@pytest.mark.parametrize("role", ["king", "", "MAGE", "mage "])
def test_an_unknown_role_is_told_with_its_pointer(post, role):
    response = post(role=role)
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/role", "not-one-of")}


def test_null_clears_the_role(client_with_auth, owner, owner_headers):
    hero = make_hero(user_id=owner.pk, role="tank")
    response = client_with_auth.patch(
        f"{URL}/{hero.pk}", json={"role": None}, headers=owner_headers | ANY
    )
    assert response.json["role"] is None


def test_what_is_absent_from_a_patch_is_kept(client_with_auth, owner, owner_headers):
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
def test_a_nickname_of_another_length_is_refused(post, nickname, code):
    assert pointers_and_codes(post(nickname=nickname)) == {("#/nickname", code)}


@pytest.mark.parametrize("nickname", ["Thistle", " Thistle "])
def test_a_taken_nickname_is_a_conflict_that_names_it(post, nickname):
    make_hero(nickname="Thistle")
    response = post(nickname=nickname)
    assert response.status_code == 409
    assert pointers_and_codes(response) == {("#/nickname", "already-exists")}
    assert "Thistle" in response.json["detail"]


def test_a_change_to_a_taken_nickname_is_a_conflict(client_with_auth, owner, owner_headers):
    make_hero(nickname="Thistle")
    hero = make_hero(nickname="Moss", user_id=owner.pk)
    response = client_with_auth.patch(
        f"{URL}/{hero.pk}", json={"nickname": "Thistle"}, headers=owner_headers | ANY
    )
    assert response.status_code == 409
    assert row(hero).nickname == "Moss"


# Lists


def test_heroes_are_found_by_role(names):
    make_hero(nickname="Moss", role="mage")
    make_hero(role="tank")
    make_hero()
    assert names(role="mage") == ["Moss"]


def test_heroes_are_found_by_user(names, owner):
    make_hero(nickname="Moss", user_id=owner.pk)
    make_hero(user_id=make_user().pk)
    make_hero()
    assert names(user_id=str(owner.pk)) == ["Moss"]
    assert names(user_id=str(uuid7())) == []


@pytest.mark.parametrize("q", ["thistle", "THISTLE brother", "brother"])
def test_heroes_are_found_by_words_of_their_nickname(names, q):
    make_hero(nickname="Brother Thistle")
    make_hero(nickname="Thistledown Brothers")
    assert names(q=q) == ["Brother Thistle"]


def test_filters_hold_together(names, owner):
    make_hero(nickname="Brother Moss", role="mage", user_id=owner.pk)
    make_hero(nickname="Sister Moss", role="tank", user_id=owner.pk)
    make_hero(nickname="Father Moss", role="mage")
    assert names(q="moss", role="mage", user_id=str(owner.pk)) == ["Brother Moss"]


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
def test_a_filter_that_is_not_one_is_refused(client_with_auth, query):
    assert client_with_auth.get(f"{URL}?{query}").status_code == 422


@pytest.mark.parametrize("sort", ["nickname", "-nickname", "created_at", "-created_at", "-pk"])
def test_every_documented_sort_key_is_walked_to_its_end(client_with_auth, sort):
    wanted = sorted(make_hero(nickname=name, role="tank").nickname for name in "cabed")
    url, seen = f"{URL}?role=tank&limit=2&sort={sort}", []
    while url:
        response = client_with_auth.get(url)
        seen += [hero["nickname"] for hero in response.json]
        following = re.search('<([^>]+)>; rel="next"', response.headers["Link"])
        url = following and following[1]
    assert sorted(seen) == wanted
    if "nickname" in sort:
        assert seen == (wanted[::-1] if sort.startswith("-") else wanted)


@pytest.mark.parametrize("sort", ["role", "user_id", "updated_at"])
def test_another_sort_key_is_refused(client_with_auth, sort):
    assert client_with_auth.get(f"{URL}?sort={sort}").status_code == 422


def test_a_list_of_heroes_is_one_statement(client_with_auth, statements):
    make_hero(user_id=make_user().pk)
    client_with_auth.get(URL)
    with statements() as executed:
        assert client_with_auth.get(URL).status_code == 200
    assert len(executed) == 1


# Whose they are


def test_nobody_creates_a_hero_of_somebody_else(post):
    other = make_user()
    response = post(user_id=str(other.pk))
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "heroes:write:any"
    assert db.session.query(Hero).filter_by(user_id=other.pk).count() == 0


def test_nobody_creates_a_hero_of_nobody(post):
    assert post(user_id=None).status_code == 403


def test_one_may_say_that_it_is_ones_own(post, owner):
    assert post(user_id=str(owner.pk)).json["user_id"] == str(owner.pk)


def test_nobody_learns_from_a_change_or_beside_another_mistake_which_users_exist(
    client_with_auth, post, owner, owner_headers
):
    url = f"{URL}/{make_hero(user_id=owner.pk).pk}"
    for more, status in [({}, 403), ({"role": "king"}, 422)]:
        bodies = [{"user_id": str(pk)} | more for pk in (make_user().pk, uuid7())]
        created = [post(**body) for body in bodies]
        changed = [
            client_with_auth.patch(url, json=body, headers=owner_headers | ANY) for body in bodies
        ]
        for one, other in (created, changed):
            assert (one.status_code, one.json["errors"]) == (status, other.json["errors"])


def test_an_unknown_user_is_told_with_all_else_that_is_wrong(client):
    """Open access may give heroes to anybody, and so learn of whom there is."""
    url, unknown = f"{URL}/{make_hero().pk}", {"user_id": str(uuid7())}
    make_hero(nickname="Thistle")
    cases = [
        ({"role": "king"}, {("#/role", "not-one-of"), ("#/user_id", "unknown-reference")}),
        ({}, {("#/user_id", "unknown-reference")}),
    ]
    for more, expected in cases:
        body = {"nickname": "Thistle"} | unknown | more
        for response in (client.post(URL, json=body), client.patch(url, json=body, headers=ANY)):
            assert (response.status_code, pointers_and_codes(response)) == (422, expected)


def test_an_admin_is_told_of_an_unknown_user_without_a_statement_that_fails(post, statements):
    admin = sign_in(make_user(role="admin"))
    post(admin, nickname="Moss")
    with statements() as executed:
        assert post(admin, user_id=str(uuid7())).status_code == 422
    assert len(executed) == 1


@pytest.mark.parametrize("whose", ["somebody else's", "nobody's"])
def test_nobody_gives_a_hero_away(client_with_auth, owner, owner_headers, whose):
    hero = make_hero(user_id=owner.pk, nickname="Moss")
    user_id = str(make_user().pk) if whose == "somebody else's" else None
    changes = {"user_id": user_id, "nickname": "Changed"}
    response = client_with_auth.patch(f"{URL}/{hero.pk}", json=changes, headers=owner_headers | ANY)
    assert response.status_code == 403
    assert (row(hero).user_id, row(hero).nickname) == (owner.pk, "Moss")


@pytest.mark.parametrize("is_owned", [True, False])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_heroes_of_others_are_not_found_by_whoever_would_change_them(
    client_with_auth, owner_headers, method, is_owned
):
    hero = make_hero(user_id=make_user().pk if is_owned else None)
    url, body = f"{URL}/{hero.pk}", {"nickname": "Stolen"}
    response = client_with_auth.open(url, method=method, json=body, headers=owner_headers | ANY)
    assert response.status_code == 404
    assert row(hero).nickname == hero.nickname


def test_heroes_of_others_are_not_found_before_the_rest_is_looked_at(
    client_with_auth, owner_headers
):
    """404 stands before 428, 412 and 422."""
    url = f"{URL}/{make_hero().pk}"
    assert (
        client_with_auth.patch(url, json={"role": "king"}, headers=owner_headers).status_code == 404
    )


def test_a_merchant_owns_no_more_than_a_customer(client_with_auth):
    url = f"{URL}/{make_hero(user_id=make_user().pk).pk}"
    merchant = sign_in(make_user(role="merchant"))
    assert client_with_auth.delete(url, headers=merchant | ANY).status_code == 404


def test_an_admin_whose_token_has_not_the_permission_for_any_is_a_stranger(client_with_auth):
    hero = make_hero(user_id=make_user().pk)
    narrowed = sign_in(make_user(role="admin"), "heroes:write")
    assert client_with_auth.delete(f"{URL}/{hero.pk}", headers=narrowed | ANY).status_code == 404


def test_an_admin_changes_gives_and_deletes_any_hero(client_with_auth, owner):
    admin = sign_in(make_user(role="admin")) | ANY
    url = f"{URL}/{make_hero().pk}"
    response = client_with_auth.patch(url, json={"user_id": str(owner.pk)}, headers=admin)
    assert response.json["user_id"] == str(owner.pk)
    assert (
        client_with_auth.patch(url, json={"user_id": None}, headers=admin).json["user_id"] is None
    )
    assert client_with_auth.delete(url, headers=admin).status_code == 204
    assert client_with_auth.get(url).status_code == 404


def test_an_owner_deletes_their_hero(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_hero(user_id=owner.pk).pk}"
    assert client_with_auth.delete(url, headers=owner_headers | ANY).status_code == 204
    assert client_with_auth.get(url).status_code == 404


def test_an_owner_that_does_not_exist_is_told_with_its_pointer(post):
    response = post(sign_in(make_user(role="admin")), user_id=str(uuid7()))
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/user_id", "unknown-reference")}


def test_nobody_learns_which_users_exist(post):
    """A stranger's key and one that nobody has are answered alike."""
    responses = [post(user_id=str(pk)) for pk in (make_user().pk, uuid7())]
    assert [response.status_code for response in responses] == [403, 403]


def test_with_open_access_a_hero_is_nobodys_by_default(client):
    assert client.post(URL, json={"nickname": "Moss"}).json["user_id"] is None


# If-Match


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_needs_if_match(client_with_auth, owner, owner_headers, method):
    hero = make_hero(user_id=owner.pk)
    response = client_with_auth.open(
        f"{URL}/{hero.pk}", method=method, json={}, headers=owner_headers
    )
    assert response.status_code == 428
    assert row(hero) is not None


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stale_etag_is_refused_with_the_hero_as_it_is(
    client_with_auth, owner, owner_headers, method
):
    url = f"{URL}/{make_hero(user_id=owner.pk).pk}"
    old = client_with_auth.get(url).headers["ETag"]
    changed = client_with_auth.patch(
        url, json={"nickname": "Moss"}, headers=owner_headers | {"If-Match": old}
    )
    assert changed.status_code == 200
    headers = owner_headers | {"If-Match": old}
    response = client_with_auth.open(url, method=method, json={"nickname": "Lost"}, headers=headers)
    assert response.status_code == 412
    assert response.json["current"] == changed.json
    assert response.headers["ETag"] == changed.headers["ETag"]


def test_the_current_etag_lets_a_change_pass(client_with_auth, owner, owner_headers):
    url = f"{URL}/{make_hero(user_id=owner.pk).pk}"
    headers = owner_headers | {"If-Match": client_with_auth.get(url).headers["ETag"]}
    assert client_with_auth.delete(url, headers=headers).status_code == 204


def test_what_a_client_has_is_not_sent_again(client_with_auth):
    url = f"{URL}/{make_hero().pk}"
    etag = client_with_auth.get(url).headers["ETag"]
    response = client_with_auth.get(url, headers={"If-None-Match": f"W/{etag}"})
    assert (response.status_code, response.headers["ETag"]) == (304, etag)


@pytest.mark.parametrize("pk", ["0", "x", UUID(int=0).hex, "01935f2e-7c1a-7b3e-9d3c-0123456789ab"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_hero_that_is_not_there_is_404(client_with_auth, owner_headers, method, pk):
    response = client_with_auth.open(
        f"{URL}/{pk}", method=method, json={}, headers=owner_headers | ANY
    )
    assert response.status_code == 404


def test_a_key_of_two_users_makes_two_heroes(post):
    responses = [
        post(sign_in(make_user()) | {"Idempotency-Key": "one"}, nickname=name)
        for name in ("Moss", "Fern")
    ]
    assert [response.json.get("nickname") for response in responses] == ["Moss", "Fern"]


def test_a_key_of_one_user_with_two_tokens_makes_one_hero(post, owner):
    responses = [post(sign_in(owner) | {"Idempotency-Key": "one"}) for _ in range(2)]
    assert responses[0].data == responses[1].data
    assert responses[1].headers["Idempotent-Replayed"] == "true"
