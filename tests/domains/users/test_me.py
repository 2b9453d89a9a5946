"""The caller: `GET /me`."""

from alchemist.domains.users.permissions import ADMIN, CUSTOMER
from tests.factories import make_user, sign_in

URL = "/api/v2/users"


def test_me_has_the_caller_and_all_permissions_of_the_role(client_with_auth):
    user = make_user()
    user_headers = sign_in(user)
    response = client_with_auth.get("/api/v2/me", headers=user_headers)
    assert response.json == {
        "user": client_with_auth.get(f"{URL}/{user.pk}", headers=user_headers).json,
        "permissions": sorted(CUSTOMER),
    }


def test_me_has_only_the_permissions_of_a_scoped_token(client_with_auth):
    user_headers = sign_in(make_user(role="admin"), "me:read", "audit:read")
    assert client_with_auth.get("/api/v2/me", headers=user_headers).json["permissions"] == [
        "audit:read",
        "me:read",
    ]


def test_me_has_no_user_with_open_access(client):
    assert client.get("/api/v2/me").json == {"user": None, "permissions": sorted(ADMIN)}


def test_me_rejects_parameters(client_with_auth, admin):
    assert client_with_auth.get("/api/v2/me?x=1", headers=admin).status_code == 422
