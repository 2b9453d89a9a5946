"""Anonymising a user: e-mail and name are deleted, and rows of the user still belong to them."""

import pytest
from sqlalchemy import delete, text
from sqlalchemy.dialects import postgresql

from alchemist import database as db
from alchemist.api.stored_responses import IdempotencyKey
from alchemist.domains.stores.models import Store
from alchemist.domains.users import token_service
from alchemist.domains.users.models import Token
from tests.domains.users import database_dump
from tests.factories import make_hero, make_store, make_token, make_user, sign_in

LITERALS = {"dialect": postgresql.dialect(), "compile_kwargs": {"literal_binds": True}}

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
    [before] = client_with_auth.get(url, headers=admin).json
    anonymise(user.pk)
    [after] = client_with_auth.get(url, headers=admin).json
    assert after["revoked_at"] == before["revoked_at"]


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


# Stored responses, labels and contacts


def test_no_stored_conflict_has_an_email_that_was_replaced_before(
    anonymise, client_with_auth, admin, user
):
    headers = admin | {"Idempotency-Key": "one"}
    client_with_auth.post("/api/v2/users", json=PERSONAL_DATA, headers=headers)
    change = {"email": "new@alchemist.example"}
    url = f"/api/v2/users/{user.pk}"
    client_with_auth.patch(url, json=change, headers=admin | {"If-Match": "*"})
    assert words_in_database(PERSONAL_DATA["email"]) == []


@pytest.mark.parametrize(
    "email", ["ADA.ingram@Alchemist.example", "\uff41da.ingram@alchemist.example"]
)
def test_a_stored_conflict_is_found_in_any_spelling_of_the_email(
    anonymise, client_with_auth, admin, user, email
):
    headers = admin | {"Idempotency-Key": "one"}
    body = PERSONAL_DATA | {"email": email}
    response = client_with_auth.post("/api/v2/users", json=body, headers=headers)
    assert email in response.text or response.status_code == 201
    anonymise(response.json.get("pk", user.pk))
    assert words_in_database(email) == []


def test_no_stored_response_mentions_a_user_who_was_deleted(client_with_auth, admin):
    created, conflict = (
        client_with_auth.post(
            "/api/v2/users", json=PERSONAL_DATA, headers=admin | {"Idempotency-Key": key}
        )
        for key in ("first", "second")
    )
    assert conflict.status_code == 409
    pk = created.json["pk"]
    client_with_auth.delete(f"/api/v2/users/{pk}", headers=admin | {"If-Match": "*"})
    assert words_in_database(PERSONAL_DATA["email"], PERSONAL_DATA["full_name"]) == []


def test_stored_responses_that_mention_others_stay(anonymise, client_with_auth, admin, user):
    other = client_with_auth.post(
        "/api/v2/users",
        json={"email": "other@alchemist.example", "full_name": "Other"},
        headers=admin | {"Idempotency-Key": "one"},
    )
    anonymise(user.pk)
    again = client_with_auth.post(
        "/api/v2/users",
        json={"email": "other@alchemist.example", "full_name": "Other"},
        headers=admin | {"Idempotency-Key": "one"},
    )
    assert again.data == other.data


def test_stored_responses_are_found_by_an_index(client_with_auth, user):
    """In a test the table is too small for the planner to prefer the index."""
    db.session.execute(text("SET LOCAL enable_seqscan = off"))
    mentions = IdempotencyKey.identifiers.overlap([user.pk.hex, user.email])
    plan = db.session.scalars(
        text(f"EXPLAIN {delete(IdempotencyKey).where(mentions).compile(**LITERALS)}")
    )
    assert "idempotency_keys_identifiers_idx" in "\n".join(plan)


def test_a_user_with_10_000_tokens_can_be_anonymised(client_with_auth, admin, anonymise, user):
    db.session.execute(MANY_TOKENS, {"pk": user.pk})
    db.session.commit()
    response = anonymise(user.pk)
    assert response.status_code == 200, response.text
    live = text(
        "SELECT count(*) FROM tokens"
        " WHERE user_id = :pk AND (revoked_at IS NULL OR label <> 'Anonymised')"
    )
    assert db.session.scalar(live, {"pk": user.pk}) == 0


MANY_TOKENS = text(
    "INSERT INTO tokens (pk, user_id, label, digest, expires_at)"
    " SELECT gen_random_uuid(), :pk, 'Ada''s', n::text, 'infinity' FROM generate_series(1, 10000) n"
)


def test_labels_of_tokens_are_replaced(anonymise, client_with_auth, user):
    make_token(user, label="Adalgisa's telephone")
    token_service.revoke_token(db.session.query(Token).filter_by(user_id=user.pk).one())
    make_token(user, label="Adalgisa's laptop")
    anonymise(user.pk)
    assert words_in_database("Adalgisa") == []


def test_contacts_of_stores_are_removed(anonymise, client_with_auth, admin, user):
    contacts = {"phone": "+32 2 555 0100", "email": "adalgisa@ladle.example"}
    store, other = make_store(owner_id=user.pk, **contacts), make_store(**contacts)
    body = {"name": "Second", "currency": "EUR", "owner_id": str(user.pk)} | contacts
    body |= dict.fromkeys(("street", "zipcode", "city", "country"), "X")
    headers = admin | {"Idempotency-Key": "one"}
    assert client_with_auth.post("/api/v2/stores", json=body, headers=headers).status_code == 201
    anonymise(user.pk)
    after = client_with_auth.get(f"/api/v2/stores/{store.pk}").json
    assert (after["phone"], after["email"], after["name"]) == (None, None, store.name)
    assert client_with_auth.get(f"/api/v2/stores/{other.pk}").json["phone"] == contacts["phone"]
    entries = client_with_auth.get(f"/api/v2/audit?resource_pk={store.pk}", headers=admin).json
    assert entries[-1]["fields"] == ["email", "phone"]
    db.session.delete(db.session.get(Store, other.pk))
    db.session.commit()
    assert words_in_database(*contacts.values()) == []
