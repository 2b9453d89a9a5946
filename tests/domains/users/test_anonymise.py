"""Anonymising a user: who it was is forgotten, what belongs to the user stays."""

import pytest

from alchemist import database as db
from tests.domains.users import database_dump
from tests.factories import make_hero, make_token, make_user, sign_in

NEW = {"email": "ada.ingram@alchemist.example", "full_name": "Adalgisa Ingramsdottir"}


@pytest.fixture
def user(client_with_auth):
    return make_user(**NEW)


@pytest.fixture
def anonymise(client_with_auth, admin):
    def call(pk, headers=admin):
        return client_with_auth.post(f"/api/v2/users/{pk}/anonymise", headers=headers)

    return call


def traces(*words):
    """Return which of the words stand anywhere in the database, in any case."""
    rows = database_dump.of(db.session.connection()).lower()
    return [word for word in words if word.lower() in rows]


def test_email_and_name_are_replaced(anonymise, user):
    answer = anonymise(user.pk)
    assert answer.status_code == 200
    assert answer.json["pk"] == str(user.pk)
    assert NEW["email"] not in answer.text
    assert NEW["full_name"] not in answer.text


def test_the_answer_is_the_user_as_it_is_then(anonymise, client_with_auth, admin, user):
    answer = anonymise(user.pk)
    shown = client_with_auth.get(f"/api/v2/users/{user.pk}", headers=admin)
    assert answer.json == shown.json
    assert answer.headers["ETag"] == shown.headers["ETag"]


def test_every_token_is_revoked_and_no_other(anonymise, client_with_auth, admin, user):
    user_headers, others = [sign_in(user) for _ in range(3)], sign_in(make_user())
    anonymise(user.pk)
    answers = [
        client_with_auth.get("/api/v2/me", headers=headers) for headers in (*user_headers, others)
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 200]
    listed = client_with_auth.get(f"/api/v2/users/{user.pk}/tokens", headers=admin).json
    assert len(listed) == 3
    assert all(token["revoked_at"] for token in listed)


def test_a_token_that_was_revoked_before_keeps_its_instant(
    anonymise, client_with_auth, admin, user
):
    make_token(user)
    url = f"/api/v2/users/{user.pk}/tokens"
    [token] = client_with_auth.get(url, headers=admin).json
    client_with_auth.delete(f"{url}/{token['pk']}", headers=admin)
    before = client_with_auth.get(url, headers=admin).json
    anonymise(user.pk)
    assert client_with_auth.get(url, headers=admin).json == before


def test_heroes_stay_with_the_user(anonymise, client_with_auth, user):
    hero = make_hero(user_id=user.pk)
    anonymise(user.pk)
    assert client_with_auth.get(f"/api/v2/heroes/{hero.pk}").json["user_id"] == str(user.pk)


def test_repeating_it_changes_nothing(anonymise, user):
    assert anonymise(user.pk).data == anonymise(user.pk).data


def test_two_anonymous_users_stand_beside_each_other(anonymise, user):
    assert anonymise(user.pk).status_code == 200
    assert anonymise(make_user().pk).status_code == 200


def test_the_email_is_free_again(anonymise, client_with_auth, admin, user):
    anonymise(user.pk)
    assert client_with_auth.post("/api/v2/users", json=NEW, headers=admin).status_code == 201


def test_what_is_got_of_an_anonymous_user_may_be_sent_back(
    anonymise, client_with_auth, admin, user
):
    got = anonymise(user.pk)
    headers = admin | {"If-Match": got.headers["ETag"]}
    answer = client_with_auth.patch(f"/api/v2/users/{user.pk}", json=got.json, headers=headers)
    assert answer.status_code == 200, answer.text


def test_an_anonymous_user_is_found_by_the_email_that_is_shown(
    anonymise, client_with_auth, admin, user
):
    email = anonymise(user.pk).json["email"]
    answer = client_with_auth.get("/api/v2/users", query_string={"email": email}, headers=admin)
    assert answer.status_code == 200, answer.text
    assert [found["pk"] for found in answer.json] == [str(user.pk)]


def test_nobody_anonymises_without_the_permission(anonymise, user):
    assert anonymise(user.pk, sign_in(user)).status_code == 403
    assert traces(NEW["email"]) == [NEW["email"]]


# Nothing of it is left


@pytest.fixture
def history(client_with_auth, admin):
    """Create a user and change it, over HTTP; return its pk."""
    pk = client_with_auth.post("/api/v2/users", json=NEW, headers=admin).json["pk"]
    url = f"/api/v2/users/{pk}"
    for change in ({"role": "merchant"}, {"email": "former@alchemist.example"}, NEW):
        assert (
            client_with_auth.patch(url, json=change, headers=admin | {"If-Match": "*"}).status_code
            == 200
        )
    return pk


def test_old_email_and_name_are_nowhere_in_the_database(anonymise, history):
    assert traces(NEW["email"]) == [NEW["email"]]
    anonymise(history)
    assert traces(NEW["email"], "former@", NEW["full_name"]) == []


def test_no_kept_answer_has_the_old_email(anonymise, client_with_auth, admin):
    """Whoever created the user with an Idempotency-Key left an answer under it."""
    headers = admin | {"Idempotency-Key": "one"}
    pk = client_with_auth.post("/api/v2/users", json=NEW, headers=headers).json["pk"]
    anonymise(pk)
    assert traces(NEW["email"], NEW["full_name"]) == []


def test_no_kept_refusal_has_the_old_email(anonymise, client_with_auth, admin, user):
    """A 409 names the e-mail that is taken."""
    headers = admin | {"Idempotency-Key": "one"}
    assert client_with_auth.post("/api/v2/users", json=NEW, headers=headers).status_code == 409
    anonymise(user.pk)
    assert traces(NEW["email"], NEW["full_name"]) == []
