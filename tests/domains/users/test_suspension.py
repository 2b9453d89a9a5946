"""Suspended users, and the last admin."""

import pytest

from alchemist import database as db
from alchemist.domains.users import service
from alchemist.domains.users.models import User
from tests.domains.users.tokens import tokens_url
from tests.factories import make_user, reload, sign_in

ME = "/api/v2/me"
ANY = {"If-Match": "*"}


@pytest.fixture
def act(client_with_auth, admin):
    """Return a function that suspends, reinstates or anonymises a user over HTTP."""

    def call(user, action, headers=admin):
        return client_with_auth.post(f"/api/v2/users/{user.pk}/{action}", headers=headers)

    return call


@pytest.mark.parametrize("path", [ME, "/api/v2/heroes", "/api/v1/potions"])
def test_every_request_of_a_suspended_user_is_403(client_with_auth, act, user, user_headers, path):
    client_with_auth.get(ME, headers=user_headers)
    response = act(user, "suspend")
    assert response.status_code == 200
    assert response.json["suspended_at"] is not None
    rejected = client_with_auth.get(path, headers=user_headers)
    assert (rejected.status_code, rejected.json["code"]) == (403, "user-suspended")


def test_the_tokens_of_a_reinstated_user_work_again(client_with_auth, act, user, user_headers):
    act(user, "suspend")
    response = act(user, "reinstate")
    assert (response.status_code, response.json["suspended_at"]) == (200, None)
    assert client_with_auth.get(ME, headers=user_headers).status_code == 200


@pytest.mark.parametrize("actions", [["suspend"], ["suspend", "reinstate"]])
def test_doing_it_again_changes_nothing(act, user, actions):
    first = [act(user, action) for action in actions][-1]
    assert act(user, actions[-1]).data == first.data


@pytest.mark.parametrize("action", ["suspend", "anonymise"])
def test_an_inactive_user_gets_no_token(client_with_auth, act, admin, user, action):
    act(user, action)
    response = client_with_auth.post(tokens_url(user), json={"label": "T"}, headers=admin)
    assert (response.status_code, response.json["code"]) == (409, "user-inactive")


def test_a_suspended_admin_is_rejected(client_with_auth, act):
    other = make_user(role="admin")
    headers = sign_in(other)
    act(other, "suspend")
    assert act(other, "reinstate", headers).status_code == 403
    assert reload(other).suspended_at is not None


# The last admin


@pytest.fixture
def last_admin(client_with_auth, admin):
    """The only admin that there is, once all others are suspended or anonymised."""
    [active] = db.session.query(User).filter_by(role="admin").all()
    service.suspend(make_user(role="admin"))
    service.anonymise(make_user(role="admin"))
    return active


CHANGES = {
    "demote": ("PATCH", "", {"role": "merchant"}),
    "give an anonymous e-mail": ("PATCH", "", {"email": f"{'0' * 32}@anonymous.invalid"}),
    "delete": ("DELETE", "", None),
    "suspend": ("POST", "/suspend", None),
    "anonymise": ("POST", "/anonymise", None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_last_admin_stays(client_with_auth, admin, last_admin, change):
    method, path, body = CHANGES[change]
    url = f"/api/v2/users/{last_admin.pk}{path}"
    response = client_with_auth.open(url, method=method, json=body, headers=admin | ANY)
    assert (response.status_code, response.json["code"]) == (409, "last-admin")
    assert client_with_auth.get("/api/v2/audit", headers=admin).status_code == 200


def test_the_last_admin_can_be_renamed(client_with_auth, admin, last_admin):
    url = f"/api/v2/users/{last_admin.pk}"
    change = {"email": "new@alchemist.example", "full_name": "New", "role": "admin"}
    assert client_with_auth.patch(url, json=change, headers=admin | ANY).status_code == 200


@pytest.mark.parametrize("change", CHANGES)
def test_an_admin_besides_another_does_not_stay(client_with_auth, admin, change):
    method, path, body = CHANGES[change]
    url = f"/api/v2/users/{make_user(role='admin').pk}{path}"
    response = client_with_auth.open(url, method=method, json=body, headers=admin | ANY)
    assert response.status_code in (200, 204)
