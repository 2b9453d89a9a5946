"""Tokens that are revoked, expire, or lose permissions."""

from datetime import UTC, datetime, timedelta

from alchemist.domains.users import token_service
from alchemist.domains.users.permissions import ADMIN, CUSTOMER
from tests.domains.users.tokens import tokens_url
from tests.factories import bearer, make_token, make_user, sign_in

ME = "/api/v2/me"


def is_rejected(client_with_auth, secret):
    return client_with_auth.get(ME, headers=bearer(secret)).status_code == 401


def test_a_revoked_token_is_rejected_at_once(client_with_auth, user, user_headers):
    token, secret = token_service.issue_token(user, ADMIN, label="Till")
    for _ in range(2):
        assert client_with_auth.get(ME, headers=bearer(secret)).status_code == 200
    assert (
        client_with_auth.delete(f"{tokens_url(user)}/{token.pk}", headers=user_headers).status_code
        == 204
    )
    assert is_rejected(client_with_auth, secret)
    assert client_with_auth.get(ME, headers=user_headers).status_code == 200


def test_a_token_can_revoke_itself(client_with_auth, user):
    token, secret = token_service.issue_token(
        user, ADMIN, label="Till", permissions=["tokens:write"]
    )
    headers = bearer(secret)
    assert (
        client_with_auth.delete(f"{tokens_url(user)}/{token.pk}", headers=headers).status_code
        == 204
    )
    assert is_rejected(client_with_auth, secret)


def test_a_revoked_token_stays_in_the_list_with_the_time(
    client_with_auth, user, user_headers, create_token
):
    created = create_token()
    client_with_auth.delete(created.location, headers=user_headers)
    fetched = client_with_auth.get(created.location, headers=user_headers).json
    assert fetched["revoked_at"] is not None
    assert fetched in client_with_auth.get(tokens_url(user), headers=user_headers).json


def test_revoking_again_changes_nothing(client_with_auth, user_headers, create_token):
    created = create_token()
    client_with_auth.delete(created.location, headers=user_headers)
    first = client_with_auth.get(created.location, headers=user_headers).json
    assert client_with_auth.delete(created.location, headers=user_headers).status_code == 204
    assert client_with_auth.get(created.location, headers=user_headers).json == first


def test_revoking_checks_an_optional_if_match(client_with_auth, user_headers, create_token):
    created = create_token()
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
    user_url = f"/api/v2/users/{user.pk}"
    assert client_with_auth.patch(user_url, json=change, headers=headers).status_code == 409
    assert client_with_auth.get(ME, headers=user_headers).status_code == 200


def test_a_token_is_rejected_as_soon_as_it_expires(client_with_auth, user):
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    headers = bearer(make_token(user, expires_at=soon))
    assert client_with_auth.get(ME, headers=headers).status_code == 200
    while datetime.now(UTC) < soon:
        status = client_with_auth.get(ME, headers=headers).status_code
    assert status in (200, 401)
    assert client_with_auth.get(ME, headers=headers).status_code == 401
