"""Tokens: creation, permissions, lists and revocation."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.domains.users import auth, service, token_format
from alchemist.domains.users.permissions import ADMIN, CUSTOMER
from tests.answers import error_pointers, pointers_and_codes
from tests.domains.users import database_dump
from tests.factories import bearer, make_token, make_user, sign_in

ME = "/api/v2/me"
FIELDS = {
    "pk",
    "user_id",
    "label",
    "permissions",
    "expires_at",
    "revoked_at",
    "last_used_at",
    "created_at",
    "updated_at",
}


@pytest.fixture
def user(client_with_auth):
    return make_user()


@pytest.fixture
def user_headers(user):
    """The headers of a request of the user."""
    return sign_in(user)


@pytest.fixture
def post(client_with_auth, user, user_headers):
    """Return a function that creates a token over HTTP."""

    def call(headers=user_headers, owner=user, **values):
        return client_with_auth.post(url(owner), json={"label": "Till"} | values, headers=headers)

    return call


def url(user):
    return f"/api/v2/users/{user.pk}/tokens"


def stored_labels(user):
    statement = text("SELECT label FROM tokens WHERE user_id = :pk")
    return db.session.scalars(statement, {"pk": user.pk}).all()


def permissions_of(client_with_auth, secret):
    return client_with_auth.get(ME, headers=bearer(secret)).json["permissions"]


# Creation


def test_the_response_to_a_creation_has_the_secret(post):
    response = post()
    assert response.status_code == 201
    assert set(response.json) == FIELDS | {"token"}
    assert token_format.is_well_formed(response.json["token"])


def test_a_new_token_authenticates(client_with_auth, post):
    assert client_with_auth.get(ME, headers=bearer(post().json["token"])).status_code == 200


def test_a_new_token_is_at_its_location_without_the_secret(client_with_auth, post, user_headers):
    created = post()
    fetched = client_with_auth.get(created.location, headers=user_headers)
    assert fetched.json == {name: created.json[name] for name in FIELDS}
    assert fetched.headers["ETag"] == created.headers["ETag"]


def test_the_response_with_the_secret_must_not_be_cached(post):
    assert post().headers["Cache-Control"] == "no-store"


def test_the_secret_is_in_no_later_response(client_with_auth, post, user_headers):
    created = post()
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


def test_only_the_digest_is_stored(post):
    secret = post(label="Only this").json["token"]
    rows = database_dump.as_text(db.session.connection())
    assert "Only this" in rows
    assert token_format.digest(secret) in rows
    assert secret[4:34] not in rows


def test_no_response_and_no_audit_entry_has_the_digest(client_with_auth, post, user_headers):
    created = post()
    digest = token_format.digest(created.json["token"])
    audit = client_with_auth.get("/api/v2/audit", headers=sign_in(make_user(role="admin")))
    assert created.json["pk"] in audit.text
    assert (
        digest
        not in audit.text
        + created.text
        + client_with_auth.get(created.location, headers=user_headers).text
    )


def test_a_token_expires_after_90_days_by_default(post):
    created = post().json
    expires_in = datetime.fromisoformat(created["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89, hours=23, minutes=59) < expires_in <= timedelta(days=90)


def test_null_means_the_default(post):
    created = post(expires_at=None, permissions=None).json
    assert created["permissions"] is None
    assert created["expires_at"] > (datetime.now(UTC) + timedelta(days=89)).isoformat()


def test_a_token_expires_when_requested(post):
    created = post(expires_at="2099-01-02T03:04:05+01:00").json
    assert created["expires_at"] == "2099-01-02T02:04:05.000000+00:00"


@pytest.mark.parametrize("expires_at", ["2020-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_an_expiry_in_the_past_is_rejected(post, user, expires_at):
    response = post(expires_at=expires_at)
    assert response.status_code == 422
    assert error_pointers(response) == {"#/expires_at"}
    assert "Till" not in stored_labels(user)


@pytest.mark.parametrize("expires_at", ["2099-01-01T00:00:00", "tomorrow", 5, "2099-01-01"])
def test_an_expiry_that_is_no_date_time_with_offset_is_rejected(post, expires_at):
    assert pointers_and_codes(post(expires_at=expires_at)) == {("#/expires_at", "wrong-type")}


@pytest.mark.parametrize("length", [1, 127])
def test_a_label_has_1_to_127_characters(post, length):
    assert post(label="é" * length).json["label"] == "é" * length


@pytest.mark.parametrize(
    ("label", "code"), [("", "too-short"), (" ", "too-short"), ("a" * 128, "too-long")]
)
def test_a_label_of_another_length_is_rejected(post, label, code):
    assert pointers_and_codes(post(label=label)) == {("#/label", code)}


def test_a_token_needs_a_label(client_with_auth, user, user_headers):
    assert pointers_and_codes(client_with_auth.post(url(user), json={}, headers=user_headers)) == {
        ("#/label", "required")
    }


@pytest.mark.parametrize("name", ["token", "digest", "user_id", "revoked_at", "pk"])
def test_the_caller_cannot_set_other_fields(post, name):
    response = post(**{name: "x"})
    assert response.status_code == 422
    assert error_pointers(response) == {f"#/{name}"}


def test_an_idempotency_key_is_rejected(post, user_headers, user):
    response = post(user_headers | {"Idempotency-Key": "one"})
    assert response.status_code == 400
    assert response.json["errors"][0]["header"] == "Idempotency-Key"
    assert "Till" not in stored_labels(user)


# Permissions


def test_a_token_has_the_permissions_of_the_role_by_default(client_with_auth, post):
    assert permissions_of(client_with_auth, post().json["token"]) == sorted(CUSTOMER)


def test_a_token_can_be_limited_to_permissions(client_with_auth, post):
    created = post(permissions=["me:read"]).json
    assert created["permissions"] == ["me:read"]
    assert permissions_of(client_with_auth, created["token"]) == ["me:read"]


def test_a_token_without_permissions_can_use_public_operations_only(client_with_auth, post):
    headers = bearer(post(permissions=[]).json["token"])
    assert client_with_auth.get(ME, headers=headers).status_code == 403
    assert client_with_auth.get("/api/v2/heroes", headers=headers).status_code == 200


@pytest.mark.parametrize("permission", ["me:write", "", "*", "ME:READ", "me:read "])
def test_an_unknown_permission_is_an_error_with_its_pointer(post, permission):
    response = post(permissions=["me:read", permission])
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/permissions/1", "not-one-of")}


@pytest.mark.parametrize("permissions", ["me:read", {"me:read": True}, [5], [None]])
def test_permissions_are_a_list_of_strings(post, permissions):
    assert post(permissions=permissions).status_code == 422


def test_a_scoped_caller_cannot_grant_another_permission(post, user):
    scoped = sign_in(user, "tokens:write", "me:read")
    response = post(scoped, permissions=["me:read", "heroes:write"])
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "heroes:write"
    assert "Till" not in stored_labels(user)


@pytest.mark.parametrize("values", [{}, {"permissions": None}])
def test_a_scoped_caller_cannot_grant_the_whole_role(post, user, values):
    response = post(sign_in(user, "tokens:write", "me:read"), **values)
    assert response.status_code == 403
    assert "Till" not in stored_labels(user)


def test_a_scoped_caller_can_grant_the_same_permissions(client_with_auth, post, user):
    scoped = sign_in(user, "tokens:write", "me:read")
    secret = post(scoped, permissions=["me:read"]).json["token"]
    assert permissions_of(client_with_auth, secret) == ["me:read"]


def test_a_permission_that_the_role_lacks_is_rejected(post, user):
    response = post(permissions=["me:read", "users:write"])
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "users:write"


def test_a_permission_requested_before_a_promotion_is_not_granted_after_it(
    client_with_auth, post, user
):
    """The creator of the token never had the permission."""
    scoped = sign_in(user, "tokens:write", "me:read")
    secret = (post(scoped, permissions=["me:read", "users:write"]).json or {}).get("token")
    promote(user)
    assert secret is None or permissions_of(client_with_auth, secret) == ["me:read"]


def test_a_token_of_a_scoped_caller_gains_nothing_from_a_promotion(client_with_auth, post, user):
    """Nor does the token of the caller, which has a list of permissions."""
    scoped = sign_in(user, *sorted(CUSTOMER))
    secret = (post(scoped).json or {}).get("token")
    promote(user)
    assert secret is None or set(permissions_of(client_with_auth, secret)) <= CUSTOMER


def promote(user):
    db.session.execute(text("UPDATE users SET role = 'admin' WHERE pk = :pk"), {"pk": user.pk})
    db.session.commit()
    auth._token_cache.clear()


def test_a_scoped_admin_cannot_create_a_token_for_another_admin(post):
    caller, other = make_user(role="admin"), make_user(role="admin")
    scoped = sign_in(caller, "tokens:write", "tokens:write:any", "tokens:read:any")
    assert post(scoped, owner=other).status_code == 403
    assert stored_labels(other) == []


def test_a_token_that_an_admin_creates_has_the_permissions_of_its_user(client_with_auth, post):
    merchant = make_user(role="merchant")
    created = post(sign_in(make_user(role="admin")), owner=merchant).json
    assert created["user_id"] == str(merchant.pk)
    assert "users:write" not in permissions_of(client_with_auth, created["token"])


def test_a_customer_cannot_create_a_token_for_another_user(post, user):
    other = make_user()
    assert post(owner=other).status_code == 404
    assert stored_labels(other) == []


# Lists and tokens of other users


def test_the_list_has_all_tokens_of_the_user_and_no_others(
    client_with_auth, user, user_headers, post
):
    make_token(make_user())
    created = post().json
    tokens = client_with_auth.get(url(user), headers=user_headers).json
    assert all(set(token) == FIELDS and token["user_id"] == str(user.pk) for token in tokens)
    assert [token["pk"] for token in tokens].count(created["pk"]) == 1
    assert len(tokens) == 2


@pytest.mark.parametrize("sort", ["pk", "-pk", "created_at", "-created_at"])
def test_every_page_of_the_list_can_be_followed(client_with_auth, user, user_headers, sort):
    for _ in range(4):
        make_token(user)
    page_url, pks = f"{url(user)}?limit=2&sort={sort}", set()
    while page_url:
        response = client_with_auth.get(page_url, headers=user_headers)
        pks |= {token["pk"] for token in response.json}
        following = re.search('<([^>]+)>; rel="next"', response.headers["Link"])
        page_url = following and following[1]
    assert len(pks) == 5


def test_a_token_is_not_found_under_another_user(client_with_auth, user):
    token, _ = service.issue(user, ADMIN, label="Mine")
    admin = sign_in(make_user(role="admin"))
    other = make_user()
    for method in ("GET", "DELETE"):
        response = client_with_auth.open(f"{url(other)}/{token.pk}", method=method, headers=admin)
        assert response.status_code == 404


def test_reading_all_tokens_is_not_enough_to_revoke_them(client_with_auth, user):
    token, secret = service.issue(user, ADMIN, label="Mine")
    reader = sign_in(make_user(role="admin"), "tokens:write", "tokens:read", "tokens:read:any")
    response = client_with_auth.delete(f"{url(user)}/{token.pk}", headers=reader)
    assert response.status_code in (403, 404)
    assert client_with_auth.get(ME, headers=bearer(secret)).status_code == 200


def test_revoking_a_token_does_not_need_to_read_it(client_with_auth, user):
    token, secret = service.issue(user, ADMIN, label="Mine")
    writer = sign_in(make_user(role="admin"), "tokens:write", "tokens:write:any")
    assert client_with_auth.delete(f"{url(user)}/{token.pk}", headers=writer).status_code == 204
    assert client_with_auth.get(ME, headers=bearer(secret)).status_code == 401


# Revocation and expiry


def is_rejected(client_with_auth, secret):
    return client_with_auth.get(ME, headers=bearer(secret)).status_code == 401


def test_a_revoked_token_is_rejected_at_once(client_with_auth, user, user_headers):
    token, secret = service.issue(user, ADMIN, label="Mine")
    for _ in range(2):
        assert client_with_auth.get(ME, headers=bearer(secret)).status_code == 200
    assert (
        client_with_auth.delete(f"{url(user)}/{token.pk}", headers=user_headers).status_code == 204
    )
    assert is_rejected(client_with_auth, secret)
    assert client_with_auth.get(ME, headers=user_headers).status_code == 200


def test_a_token_can_revoke_itself(client_with_auth, user):
    token, secret = service.issue(user, ADMIN, label="Mine")
    headers = bearer(secret)
    assert client_with_auth.delete(f"{url(user)}/{token.pk}", headers=headers).status_code == 204
    assert is_rejected(client_with_auth, secret)


def test_a_revoked_token_stays_in_the_list_with_the_time(
    client_with_auth, user, user_headers, post
):
    created = post()
    client_with_auth.delete(created.location, headers=user_headers)
    fetched = client_with_auth.get(created.location, headers=user_headers).json
    assert fetched["revoked_at"] is not None
    assert fetched in client_with_auth.get(url(user), headers=user_headers).json


def test_revoking_again_changes_nothing(client_with_auth, user_headers, post):
    created = post()
    client_with_auth.delete(created.location, headers=user_headers)
    first = client_with_auth.get(created.location, headers=user_headers).json
    assert client_with_auth.delete(created.location, headers=user_headers).status_code == 204
    assert client_with_auth.get(created.location, headers=user_headers).json == first


def test_revoking_checks_an_optional_if_match(client_with_auth, user_headers, post):
    created = post()
    response = client_with_auth.delete(
        created.location, headers=user_headers | {"If-Match": '"stale"'}
    )
    assert response.status_code == 412
    assert not is_rejected(client_with_auth, created.json["token"])


def test_a_demoted_user_loses_permissions_at_once(client_with_auth, admin):
    user = make_user(role="admin")
    headers = sign_in(user)
    assert client_with_auth.get("/api/v2/audit", headers=headers).status_code == 200
    change = {"json": {"role": "customer"}, "headers": admin | {"If-Match": "*"}}
    assert client_with_auth.patch(f"/api/v2/users/{user.pk}", **change).status_code == 200
    assert client_with_auth.get("/api/v2/audit", headers=headers).status_code == 403
    assert client_with_auth.get(ME, headers=headers).json["permissions"] == sorted(CUSTOMER)


def test_a_token_of_an_anonymised_user_is_rejected_at_once(
    client_with_auth, admin, user, user_headers
):
    assert client_with_auth.get(ME, headers=user_headers).status_code == 200
    assert (
        client_with_auth.post(f"/api/v2/users/{user.pk}/anonymise", headers=admin).status_code
        == 200
    )
    assert client_with_auth.get(ME, headers=user_headers).status_code == 401


def test_a_rejected_change_of_a_user_revokes_no_token(client_with_auth, admin, user, user_headers):
    """A change that is rolled back must not leave the token cache in between."""
    make_user(email="ada@alchemist.example")
    change = {"email": "ada@alchemist.example"}
    headers = admin | {"If-Match": "*"}
    page_url = f"/api/v2/users/{user.pk}"
    assert client_with_auth.patch(page_url, json=change, headers=headers).status_code == 409
    assert client_with_auth.get(ME, headers=user_headers).status_code == 200


def test_a_token_is_rejected_as_soon_as_it_expires(client_with_auth, user):
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    headers = bearer(make_token(user, expires_at=soon))
    assert client_with_auth.get(ME, headers=headers).status_code == 200
    while datetime.now(UTC) < soon:
        status = client_with_auth.get(ME, headers=headers).status_code
    assert status in (200, 401)
    assert client_with_auth.get(ME, headers=headers).status_code == 401


def test_the_response_is_json_whatever_the_label_is(post):
    label = 'A "label" \\ of {braces} and é'
    response = post(label=label)
    assert json.loads(response.data)["label"] == label
