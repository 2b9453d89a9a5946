"""Deleting users."""

from sqlalchemy import text

from alchemist import database as db
from tests.factories import bearer, make_hero, make_token, make_user, reload, sign_in

URL = "/api/v2/users"
ANY = {"If-Match": "*"}


def test_deleting_a_user_with_heroes_is_a_conflict_that_names_them(client_with_auth, admin):
    user = make_user()
    heroes = {make_hero(user_id=user.pk).pk for _ in range(2)}
    response = client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert response.status_code == 409
    assert response.json["code"] == "in-use"
    details = " ".join(entry["detail"] for entry in response.json["errors"])
    assert all(str(hero) in details for hero in heroes)
    assert reload(user) is not None


def test_a_rejected_deletion_revokes_no_token(client_with_auth, admin):
    user = make_user()
    make_hero(user_id=user.pk)
    user_headers = sign_in(user)
    client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert client_with_auth.get("/api/v2/me", headers=user_headers).status_code == 200


def test_deleting_a_user_deletes_all_their_tokens(client_with_auth, admin):
    user = make_user()
    secret = make_token(user)
    assert client_with_auth.get("/api/v2/me", headers=bearer(secret)).status_code == 200
    response = client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert (response.status_code, response.data) == (204, b"")
    assert client_with_auth.get(f"{URL}/{user.pk}", headers=admin).status_code == 404
    assert client_with_auth.get("/api/v2/me", headers=bearer(secret)).status_code == 401
    count = "SELECT count(*) FROM tokens WHERE user_id = :pk"
    assert db.session.scalar(text(count), {"pk": user.pk}) == 0


def test_the_email_of_a_deleted_user_can_be_used_again(client_with_auth, admin, create_user):
    user = make_user(email="ada@alchemist.example")
    client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert create_user().status_code == 201


def test_a_user_with_10_000_tokens_can_be_deleted(client_with_auth, admin, statements):
    user = make_user()
    tokens = (
        "INSERT INTO tokens (pk, user_id, label, digest, expires_at)"
        " SELECT gen_random_uuid(), :pk, 'T', n::text, 'infinity' FROM generate_series(1, 10000) n"
    )
    db.session.execute(text(tokens), {"pk": user.pk})
    db.session.commit()
    with statements() as executed:
        response = client_with_auth.delete(f"{URL}/{user.pk}", headers=admin | ANY)
    assert response.status_code == 204, response.text
    assert len(executed) < 20
