"""Anonymising a user: e-mail and name are deleted, and rows of the user still belong to them."""

import pytest

from alchemist import database as db
from tests.domains.users import database_dump
from tests.factories import make_hero, make_token, make_user, sign_in

PERSONAL_DATA = {"email": "ada.ingram@alchemist.example", "full_name": "Adalgisa Ingramsdottir"}


@pytest.fixture
def user(client_with_auth):
    return make_user(**PERSONAL_DATA)


@pytest.fixture
def anonymise(client_with_auth, admin):
    def call(pk, headers=admin):
        return client_with_auth.post(f"/api/v2/users/{pk}/anonymise", headers=headers)

    return call


def words_in_database(*words):
    """Return those of the words that are anywhere in the database, in any case."""
    rows = database_dump.as_text(db.session.connection()).lower()
    return [word for word in words if word.lower() in rows]


def test_email_and_name_are_replaced(anonymise, user):
    response = anonymise(user.pk)
    assert response.status_code == 200
    assert response.json["pk"] == str(user.pk)
    assert PERSONAL_DATA["email"] not in response.text
    assert PERSONAL_DATA["full_name"] not in response.text


def test_the_response_is_the_anonymised_user(anonymise, client_with_auth, admin, user):
    response = anonymise(user.pk)
    fetched = client_with_auth.get(f"/api/v2/users/{user.pk}", headers=admin)
    assert response.json == fetched.json
    assert response.headers["ETag"] == fetched.headers["ETag"]


def test_exactly_the_tokens_of_the_user_are_revoked(anonymise, client_with_auth, admin, user):
    user_headers, other_headers = [sign_in(user) for _ in range(3)], sign_in(make_user())
    anonymise(user.pk)
    responses = [
        client_with_auth.get("/api/v2/me", headers=headers)
        for headers in (*user_headers, other_headers)
    ]
    assert [response.status_code for response in responses] == [401, 401, 401, 200]
    tokens = client_with_auth.get(f"/api/v2/users/{user.pk}/tokens", headers=admin).json
    assert len(tokens) == 3
    assert all(token["revoked_at"] for token in tokens)


def test_an_earlier_revocation_keeps_its_time(anonymise, client_with_auth, admin, user):
    make_token(user)
    url = f"/api/v2/users/{user.pk}/tokens"
    [token] = client_with_auth.get(url, headers=admin).json
    client_with_auth.delete(f"{url}/{token['pk']}", headers=admin)
    before = client_with_auth.get(url, headers=admin).json
    anonymise(user.pk)
    assert client_with_auth.get(url, headers=admin).json == before


def test_heroes_still_belong_to_the_user(anonymise, client_with_auth, user):
    hero = make_hero(user_id=user.pk)
    anonymise(user.pk)
    assert client_with_auth.get(f"/api/v2/heroes/{hero.pk}").json["user_id"] == str(user.pk)


def test_anonymising_again_changes_nothing(anonymise, user):
    assert anonymise(user.pk).data == anonymise(user.pk).data


def test_two_users_can_be_anonymised(anonymise, user):
    assert anonymise(user.pk).status_code == 200
    assert anonymise(make_user().pk).status_code == 200


def test_the_former_email_can_be_used_again(anonymise, client_with_auth, admin, user):
    anonymise(user.pk)
    assert (
        client_with_auth.post("/api/v2/users", json=PERSONAL_DATA, headers=admin).status_code == 201
    )


def test_an_anonymised_user_can_be_sent_back_unchanged(anonymise, client_with_auth, admin, user):
    anonymised = anonymise(user.pk)
    headers = admin | {"If-Match": anonymised.headers["ETag"]}
    response = client_with_auth.patch(
        f"/api/v2/users/{user.pk}", json=anonymised.json, headers=headers
    )
    assert response.status_code == 200, response.text


def test_the_email_filter_finds_an_anonymised_user(anonymise, client_with_auth, admin, user):
    pk, email = str(user.pk), anonymise(user.pk).json["email"]
    response = client_with_auth.get("/api/v2/users", query_string={"email": email}, headers=admin)
    assert response.status_code == 200, response.text
    assert [user["pk"] for user in response.json] == [pk]


def test_anonymising_needs_the_permission(anonymise, user):
    assert anonymise(user.pk, sign_in(user)).status_code == 403
    assert words_in_database(PERSONAL_DATA["email"]) == [PERSONAL_DATA["email"]]


def test_an_anonymous_email_in_use_is_a_conflict(client_with_auth, admin):
    user = make_user()
    make_user(email=f"{user.pk.hex}@anonymous.invalid")
    response = client_with_auth.post(f"/api/v2/users/{user.pk}/anonymise", headers=admin)
    assert (response.status_code, response.json["code"]) == (409, "already-exists")


@pytest.mark.parametrize(
    "email", ["@anonymous.invalid", "a b@anonymous.invalid", "ada@anonymous.invalid"]
)
def test_an_email_in_the_anonymous_domain_is_rejected(client_with_auth, admin, email):
    response = client_with_auth.post(
        "/api/v2/users", json={"email": email, "full_name": "Ada"}, headers=admin
    )
    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"] == "#/email"


# Former values in the database


@pytest.fixture
def pk_of_changed_user(client_with_auth, admin):
    """The pk of a user who was created over HTTP and changed several times."""
    pk = client_with_auth.post("/api/v2/users", json=PERSONAL_DATA, headers=admin).json["pk"]
    url = f"/api/v2/users/{pk}"
    for change in ({"role": "merchant"}, {"email": "former@alchemist.example"}, PERSONAL_DATA):
        assert (
            client_with_auth.patch(url, json=change, headers=admin | {"If-Match": "*"}).status_code
            == 200
        )
    return pk


def test_the_database_has_no_former_email_or_name(anonymise, pk_of_changed_user):
    assert words_in_database(PERSONAL_DATA["email"]) == [PERSONAL_DATA["email"]]
    anonymise(pk_of_changed_user)
    assert words_in_database(PERSONAL_DATA["email"], "former@", PERSONAL_DATA["full_name"]) == []


def test_no_stored_response_has_the_former_email(anonymise, client_with_auth, admin):
    """The response to a POST with an Idempotency-Key is stored with the key."""
    headers = admin | {"Idempotency-Key": "one"}
    pk = client_with_auth.post("/api/v2/users", json=PERSONAL_DATA, headers=headers).json["pk"]
    anonymise(pk)
    assert words_in_database(PERSONAL_DATA["email"], PERSONAL_DATA["full_name"]) == []


def test_no_stored_conflict_has_the_former_email(anonymise, client_with_auth, admin, user):
    """A 409 names the e-mail that another user has, and is stored with the key."""
    headers = admin | {"Idempotency-Key": "one"}
    assert (
        client_with_auth.post("/api/v2/users", json=PERSONAL_DATA, headers=headers).status_code
        == 409
    )
    anonymise(user.pk)
    assert words_in_database(PERSONAL_DATA["email"], PERSONAL_DATA["full_name"]) == []
