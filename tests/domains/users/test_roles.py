"""Granting roles: a caller cannot grant permissions that they lack."""

import pytest

from alchemist import database as db
from alchemist.domains.users.models import User
from alchemist.domains.users.permissions import ADMIN, CUSTOMER
from tests.factories import make_user, reload, sign_in

ADMIN_WITHOUT_AUDIT = sorted(ADMIN - {"audit:read"})


@pytest.mark.parametrize("role", ["merchant", "admin"])
@pytest.mark.parametrize("current", ["customer", "merchant"])
def test_a_user_cannot_change_their_own_role(update_user, current, role):
    user = make_user(role=current)
    response = update_user(user, sign_in(user), role=role)
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "users:write"
    assert reload(user).role == current


def test_creating_a_role_needs_all_of_its_permissions(create_user):
    scoped = sign_in(make_user(role="admin"), *ADMIN_WITHOUT_AUDIT)
    response = create_user(scoped, role="admin")
    assert response.status_code == 403
    assert response.json["errors"] == [
        {
            "code": "forbidden",
            "detail": "This needs the permission audit:read.",
            "permission": "audit:read",
        }
    ]
    assert db.session.query(User).filter_by(email="ada@alchemist.example").count() == 0


def test_granting_a_role_needs_all_of_its_permissions(update_user):
    user = make_user(full_name="Ada")
    scoped = sign_in(make_user(role="admin"), *ADMIN_WITHOUT_AUDIT)
    response = update_user(user, scoped, role="admin", full_name="Changed")
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] == "audit:read"
    assert (reload(user).role, reload(user).full_name) == ("customer", "Ada")


def test_a_scoped_admin_can_create_customers(create_user):
    scoped = sign_in(make_user(role="admin"), *ADMIN_WITHOUT_AUDIT)
    assert create_user(scoped).status_code == 201


def test_the_permission_to_write_users_is_not_enough_for_a_customer(create_user):
    response = create_user(sign_in(make_user(role="admin"), "users:write"))
    assert response.status_code == 403
    assert response.json["errors"][0]["permission"] in CUSTOMER


def test_a_creator_who_may_not_read_users_gets_no_404(create_user):
    """A token with `users:write` and all permissions of a customer, without `users:read:any`."""
    response = create_user(sign_in(make_user(role="admin"), "users:write", *sorted(CUSTOMER)))
    assert response.status_code in (201, 403), response.text


def test_an_admin_is_demoted(update_user):
    user = make_user(role="admin")
    assert update_user(user, role="customer").json["role"] == "customer"
