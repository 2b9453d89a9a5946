"""Tokens: creation, permissions, lists and revocation."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from alchemist import database as db
from alchemist.domains.users import token_format, token_service
from alchemist.domains.users.permissions import ADMIN, CUSTOMER
from tests.answers import error_pointers, pointers_and_codes, read_all_pages
from tests.domains.users import database_dump
from tests.domains.users.tokens import stored_labels, tokens_url
from tests.factories import bearer, make_token, make_user, sign_in

ME = "/api/v2/me"
FIELDS = {
    "pk",
    "user_id",
    "made_with_id",
    "label",
    "permissions",
    "expires_at",
    "revoked_at",
    "last_used_at",
    "created_at",
    "updated_at",
}


# Creation


def test_the_response_to_a_creation_has_the_secret(create_token):
    response = create_token()
    assert response.status_code == 201
    assert set(response.json) == FIELDS | {"token"}
    assert token_format.is_well_formed(response.json["token"])


def test_a_new_token_authenticates(client_with_auth, create_token):
    assert client_with_auth.get(ME, headers=bearer(create_token().json["token"])).status_code == 200


def test_a_new_token_is_at_its_location_without_the_secret(
    client_with_auth, create_token, user_headers
):
    created = create_token()
    fetched = client_with_auth.get(created.location, headers=user_headers)
    assert fetched.json == {name: created.json[name] for name in FIELDS}
    assert fetched.headers["ETag"] == created.headers["ETag"]


def test_the_response_with_the_secret_must_not_be_cached(create_token):
    assert create_token().headers["Cache-Control"] == "no-store"


def test_the_secret_is_in_no_later_response(client_with_auth, create_token, user_headers):
    created = create_token()
    secret = created.json["token"]
    admin = sign_in(make_user(role="admin"))
    later_responses = [
        client_with_auth.get(path, headers=headers).text
        for path in (created.location, created.location.rpartition("/")[0], "/api/v2/audit", ME)
        for headers in (user_headers, admin, bearer(secret))
    ]
    assert not [
        response for response in later_responses if secret in response or secret[4:34] in response
    ]


def test_only_the_digest_is_stored(create_token):
    secret = create_token(label="Only this").json["token"]
    rows = database_dump.as_text(db.session.connection())
    assert "Only this" in rows
    assert token_format.digest(secret) in rows
    assert secret[4:34] not in rows


def test_no_response_and_no_audit_entry_has_the_digest(
    client_with_auth, create_token, user_headers
):
    created = create_token()
    digest = token_format.digest(created.json["token"])
    audit = client_with_auth.get("/api/v2/audit", headers=sign_in(make_user(role="admin")))
    assert created.json["pk"] in audit.text
    assert (
        digest
        not in audit.text
        + created.text
        + client_with_auth.get(created.location, headers=user_headers).text
    )


def test_a_token_expires_after_90_days_by_default(create_token):
    created = create_token().json
    expires_in = datetime.fromisoformat(created["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89, hours=23, minutes=59) < expires_in <= timedelta(days=90)


def test_null_means_the_default(create_token):
    created = create_token(expires_at=None, permissions=None).json
    assert created["permissions"] == sorted(CUSTOMER - {"tokens:write"})
    assert created["expires_at"] > (datetime.now(UTC) + timedelta(days=89)).isoformat()


def test_a_token_expires_when_requested(create_token):
    tomorrow = datetime.now(timezone(timedelta(hours=1))) + timedelta(days=1)
    created = create_token(expires_at=tomorrow.isoformat()).json
    assert datetime.fromisoformat(created["expires_at"]) == tomorrow


@pytest.mark.parametrize("expires_at", ["2020-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_an_expiry_in_the_past_is_rejected(create_token, user, expires_at):
    response = create_token(expires_at=expires_at)
    assert response.status_code == 422
    assert error_pointers(response) == {"#/expires_at"}
    assert "Till" not in stored_labels(user)


@pytest.mark.parametrize("expires_at", ["2099-01-01T00:00:00", "tomorrow", 5, "2099-01-01"])
def test_an_expiry_that_is_no_date_time_with_offset_is_rejected(create_token, expires_at):
    assert pointers_and_codes(create_token(expires_at=expires_at)) == {
        ("#/expires_at", "wrong-type")
    }


@pytest.mark.parametrize("length", [1, 127])
def test_a_label_has_1_to_127_characters(create_token, length):
    assert create_token(label="é" * length).json["label"] == "é" * length


@pytest.mark.parametrize(
    ("label", "code"), [("", "too-short"), (" ", "too-short"), ("a" * 128, "too-long")]
)
def test_a_label_of_another_length_is_rejected(create_token, label, code):
    assert pointers_and_codes(create_token(label=label)) == {("#/label", code)}


def test_a_token_needs_a_label(client_with_auth, user, user_headers):
    assert pointers_and_codes(
        client_with_auth.post(tokens_url(user), json={}, headers=user_headers)
    ) == {("#/label", "required")}


@pytest.mark.parametrize("name", ["token", "digest", "user_id", "revoked_at", "pk"])
def test_the_caller_cannot_set_other_fields(create_token, name):
    response = create_token(**{name: "x"})
    assert response.status_code == 422
    assert error_pointers(response) == {f"#/{name}"}


def test_an_idempotency_key_is_rejected(create_token, user_headers, user):
    response = create_token(user_headers | {"Idempotency-Key": "one"})
    assert response.status_code == 400
    assert response.json["errors"][0]["header"] == "Idempotency-Key"
    assert "Till" not in stored_labels(user)


# Lists and tokens of other users


def test_the_list_has_all_tokens_of_the_user_and_no_others(
    client_with_auth, user, user_headers, create_token
):
    make_token(make_user())
    created = create_token().json
    tokens = client_with_auth.get(tokens_url(user), headers=user_headers).json
    assert all(set(token) == FIELDS and token["user_id"] == str(user.pk) for token in tokens)
    assert [token["pk"] for token in tokens].count(created["pk"]) == 1
    assert len(tokens) == 2


@pytest.mark.parametrize("sort", ["pk", "-pk", "created_at", "-created_at"])
def test_every_page_of_the_list_can_be_followed(client_with_auth, user, user_headers, sort):
    for _ in range(4):
        make_token(user)
    rows = read_all_pages(client_with_auth, f"{tokens_url(user)}?limit=2&sort={sort}", user_headers)
    assert len({token["pk"] for token in rows}) == len(rows) == 5


def test_a_token_is_not_found_under_another_user(client_with_auth, user):
    token, _ = token_service.issue_token(user, ADMIN, label="Till")
    admin = sign_in(make_user(role="admin"))
    other = make_user()
    for method in ("GET", "DELETE"):
        response = client_with_auth.open(
            f"{tokens_url(other)}/{token.pk}", method=method, headers=admin
        )
        assert response.status_code == 404


def test_reading_all_tokens_is_not_enough_to_revoke_them(client_with_auth, user):
    token, secret = token_service.issue_token(user, ADMIN, label="Till")
    reader = sign_in(make_user(role="admin"), "tokens:write", "tokens:read", "tokens:read:any")
    response = client_with_auth.delete(f"{tokens_url(user)}/{token.pk}", headers=reader)
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "tokens:write:any"
    assert client_with_auth.get(ME, headers=bearer(secret)).status_code == 200


def test_reading_all_users_is_not_enough_to_create_tokens_for_them(client_with_auth, user):
    reader = sign_in(make_user(role="admin"), "tokens:write", "users:read", "users:read:any")
    response = client_with_auth.post(tokens_url(user), json={"label": "Till"}, headers=reader)
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "tokens:write:any"


def test_revoking_a_token_does_not_need_to_read_it(client_with_auth, user):
    token, secret = token_service.issue_token(user, ADMIN, label="Till")
    writer = sign_in(make_user(role="admin"), "tokens:write", "tokens:write:any")
    assert (
        client_with_auth.delete(f"{tokens_url(user)}/{token.pk}", headers=writer).status_code == 204
    )
    assert client_with_auth.get(ME, headers=bearer(secret)).status_code == 401


def test_the_response_is_json_whatever_the_label_is(create_token):
    label = 'A "label" \\ of {braces} and é'
    response = create_token(label=label)
    assert json.loads(response.data)["label"] == label
