"""Permissions of tokens: those that the creator and the user have."""

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.domains.users import auth, token_service
from alchemist.domains.users.models import ROLES
from alchemist.domains.users.permissions import ADMIN, CUSTOMER, ON_REQUEST, ROLE_PERMISSIONS
from tests.answers import pointers_and_codes
from tests.domains.users.tokens import stored_labels
from tests.factories import bearer, make_user, sign_in

ME = "/api/v2/me"


def permissions_of(client_with_auth, secret):
    return client_with_auth.get(ME, headers=bearer(secret)).json["permissions"]


def test_a_token_has_the_permissions_of_the_role_except_tokens_write_by_default(
    client_with_auth, create_token
):
    permissions = permissions_of(client_with_auth, create_token().json["token"])
    assert permissions == sorted(CUSTOMER - {"tokens:write"})


def test_a_token_can_create_tokens_only_if_that_was_requested(create_token):
    by_default = create_token().json["token"]
    assert create_token(bearer(by_default)).json["errors"][0]["permission"] == "tokens:write"
    requested = create_token(permissions=["tokens:write", "me:read"]).json["token"]
    assert create_token(bearer(requested), permissions=["me:read"]).status_code == 201


@pytest.mark.parametrize("role", ROLES)
def test_a_token_that_follows_the_role_cannot_create_tokens(client_with_auth, role):
    """A token of the command line, whose permissions are NULL."""
    user = make_user(role=role)
    secret = token_service.issue_token(user, ADMIN, label="Till")[1]
    permissions = set(permissions_of(client_with_auth, secret))
    assert ROLE_PERMISSIONS[role] - permissions == ROLE_PERMISSIONS[role] & ON_REQUEST
    assert "tokens:write" in ON_REQUEST & ROLE_PERMISSIONS[role]


def test_a_token_can_be_limited_to_permissions(client_with_auth, create_token):
    created = create_token(permissions=["me:read"]).json
    assert created["permissions"] == ["me:read"]
    assert permissions_of(client_with_auth, created["token"]) == ["me:read"]


def test_a_token_without_permissions_can_use_public_operations_only(client_with_auth, create_token):
    headers = bearer(create_token(permissions=[]).json["token"])
    assert client_with_auth.get(ME, headers=headers).status_code == 403
    assert client_with_auth.get("/api/v2/heroes", headers=headers).status_code == 200


@pytest.mark.parametrize("permission", ["me:write", "", "*", "ME:READ", "me:read "])
def test_an_unknown_permission_is_an_error_with_its_pointer(create_token, permission):
    response = create_token(permissions=["me:read", permission])
    assert response.status_code == 422
    assert pointers_and_codes(response) == {("#/permissions/1", "not-one-of")}


@pytest.mark.parametrize("permissions", ["me:read", {"me:read": True}, [5], [None]])
def test_permissions_are_a_list_of_strings(create_token, permissions):
    assert create_token(permissions=permissions).status_code == 422


def test_a_scoped_caller_cannot_grant_another_permission(create_token, user):
    scoped = sign_in(user, "tokens:write", "me:read")
    response = create_token(scoped, permissions=["me:read", "heroes:write"])
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "heroes:write"
    assert "Till" not in stored_labels(user)


@pytest.mark.parametrize("values", [{}, {"permissions": None}])
def test_a_scoped_caller_cannot_grant_the_whole_role(create_token, user, values):
    response = create_token(sign_in(user, "tokens:write", "me:read"), **values)
    assert response.status_code == 403
    assert "Till" not in stored_labels(user)


def test_a_scoped_caller_can_grant_the_same_permissions(client_with_auth, create_token, user):
    scoped = sign_in(user, "tokens:write", "me:read")
    secret = create_token(scoped, permissions=["me:read"]).json["token"]
    assert permissions_of(client_with_auth, secret) == ["me:read"]


def test_a_permission_that_the_role_lacks_is_rejected(create_token, user):
    response = create_token(permissions=["me:read", "users:write"])
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "users:write"


def test_a_permission_requested_before_a_promotion_is_not_granted_after_it(
    client_with_auth, create_token, user
):
    """The creator of the token never had the permission."""
    scoped = sign_in(user, "tokens:write", "me:read")
    secret = (create_token(scoped, permissions=["me:read", "users:write"]).json or {}).get("token")
    promote(user)
    assert secret is None or permissions_of(client_with_auth, secret) == ["me:read"]


def test_a_token_of_a_scoped_caller_gains_nothing_from_a_promotion(
    client_with_auth, create_token, user
):
    """Nor does the token of the caller, which has a list of permissions."""
    scoped = sign_in(user, *sorted(CUSTOMER))
    secret = (create_token(scoped).json or {}).get("token")
    promote(user)
    assert secret is None or set(permissions_of(client_with_auth, secret)) <= CUSTOMER


def promote(user):
    db.session.execute(text("UPDATE users SET role = 'admin' WHERE pk = :pk"), {"pk": user.pk})
    db.session.commit()
    auth._token_cache.clear()


def test_a_scoped_admin_cannot_create_a_token_for_another_admin(create_token):
    caller, other = make_user(role="admin"), make_user(role="admin")
    scoped = sign_in(caller, "tokens:write", "tokens:write:any", "tokens:read:any")
    assert create_token(scoped, owner=other).status_code == 403
    assert stored_labels(other) == []


def test_a_token_that_an_admin_creates_has_the_permissions_of_its_user(
    client_with_auth, create_token
):
    merchant = make_user(role="merchant")
    created = create_token(sign_in(make_user(role="admin")), owner=merchant).json
    assert created["user_id"] == str(merchant.pk)
    assert "users:write" not in permissions_of(client_with_auth, created["token"])


def test_a_customer_cannot_create_a_token_for_another_user(create_token, user):
    other = make_user()
    assert create_token(owner=other).status_code == 404
    assert stored_labels(other) == []
