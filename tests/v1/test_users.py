"""The users of v1, key by key."""

from uuid import UUID

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from alchemist import database as db
from tests.answers import error_pointers
from tests.factories import make_user, sign_in

URL = "/api/v1/user"
NEW = {"email": "ada@alchemist.example", "full_name": "Ada Ingram"}


@pytest.fixture
def admin(client_with_auth):
    return sign_in(make_user(role="admin", email="zoe@alchemist.example", full_name="Zoe"))


@pytest.fixture
def create(client_with_auth, admin):
    def call(headers=admin, **values):
        return client_with_auth.post(f"{URL}/create-user", json=NEW | values, headers=headers)

    return call


@pytest.fixture
def get(client_with_auth, admin):
    def call(id, headers=admin):
        return client_with_auth.get(
            f"{URL}/get-user", query_string={"id": str(id)}, headers=headers
        )

    return call


def test_a_new_user_is_answered_with_200_and_three_keys(create):
    answer = create()
    assert answer.status_code == 200
    assert list(answer.json) == ["id", "email", "full_name"]
    assert answer.json == NEW | {"id": answer.json["id"]}


def test_an_id_is_the_pk_as_32_hex_digits(create):
    id = create().json["id"]
    assert len(id) == 32
    stored = text("SELECT pk FROM users WHERE email = :email")
    assert UUID(id) == db.session.scalar(stored, NEW)
    assert id == UUID(id).hex


def test_a_user_is_found_by_both_forms_of_the_id(create, get):
    made = create().json
    for id in (made["id"], str(UUID(made["id"])), made["id"].upper()):
        answer = get(id)
        assert answer.status_code == 200
        assert answer.json == made


def test_the_list_has_all_in_the_order_of_creation(client_with_auth, admin):
    emails = [make_user(email=f"{name}@alchemist.example").email for name in "cab"]
    answer = client_with_auth.get(f"{URL}/get-users", headers=admin)
    assert answer.status_code == 200
    listed = answer.json
    assert [user["email"] for user in listed] == ["zoe@alchemist.example", *emails]
    assert all(list(user) == ["id", "email", "full_name"] for user in listed)
    assert all(len(user["id"]) == 32 for user in listed)


def test_a_new_user_is_a_customer_whatever_is_sent(client_with_auth, create, admin):
    """The older service knew no roles, so it ignores them."""
    id = UUID(create(role="admin", surprise=1).json["id"])
    assert client_with_auth.get(f"/api/v2/users/{id}", headers=admin).json["role"] == "customer"


@pytest.mark.parametrize("id", ["x", 5, None, UUID(int=7).hex])
def test_an_id_that_is_sent_is_ignored(create, id):
    answer = create(id=id)
    assert answer.status_code == 200
    assert answer.json["id"] != id


def test_an_unknown_user_is_404(get):
    for id in (uuid7(), uuid7().hex):
        answer = get(id)
        assert (answer.status_code, answer.json["detail"]) == (404, "User does not exist")
        assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("email", [NEW["email"], NEW["email"].upper()])
def test_a_taken_email_is_a_conflict(create, email):
    create()
    answer = create(email=email)
    assert answer.status_code == 409
    assert answer.json["errors"][0]["pointer"] == "#/email"
    assert NEW["email"] in answer.json["detail"].lower()


@pytest.mark.parametrize("field", ["email", "full_name"])
@pytest.mark.parametrize("value", [None, "", True, [5]])
def test_an_invalid_field_is_reported_with_its_pointer(create, field, value):
    answer = create(**{field: value})
    assert answer.status_code == 422
    assert error_pointers(answer) == {f"#/{field}"}


@pytest.mark.parametrize("query", ["", "?id=", "?id=x", f"?id={'g' * 32}", "?ID=1"])
def test_a_query_without_a_readable_id_is_refused(client_with_auth, admin, query):
    answer = client_with_auth.get(f"{URL}/get-user{query}", headers=admin)
    assert answer.status_code in (404, 422)
    assert answer.json["errors"][0]["parameter"] == "id"


def test_another_parameter_is_ignored(client_with_auth, admin):
    user = make_user()
    answer = client_with_auth.get(f"{URL}/get-user?id={user.pk.hex}&verbose=1", headers=admin)
    assert answer.status_code == 200
    assert client_with_auth.get(f"{URL}/get-users?page=2", headers=admin).status_code == 200


@pytest.mark.parametrize("slash", ["", "/"])
def test_paths_answer_with_and_without_a_slash(client_with_auth, admin, slash):
    user = make_user()
    answers = [
        client_with_auth.get(f"{URL}/get-users{slash}", headers=admin),
        client_with_auth.get(f"{URL}/get-user{slash}?id={user.pk}", headers=admin),
        client_with_auth.post(f"{URL}/create-user{slash}", json=NEW, headers=admin),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]


# Who may


def test_one_sees_oneself_alone(client_with_auth, get):
    user, other = make_user(), make_user()
    user_headers = sign_in(user)
    assert [
        found["id"] for found in client_with_auth.get(f"{URL}/get-users", headers=user_headers).json
    ] == [user.pk.hex]
    assert get(user.pk, user_headers).status_code == 200
    hidden, missing = get(other.pk, user_headers), get(uuid7(), user_headers)
    assert (hidden.status_code, hidden.json["detail"]) == (404, missing.json["detail"])


def test_a_customer_cannot_create_users(create):
    assert create(sign_in(make_user())).status_code == 403
    assert db.session.scalar(text("SELECT count(*) FROM users WHERE email = :email"), NEW) == 0


def test_a_caller_with_fewer_permissions_than_a_customer_cannot_create_users(create):
    assert create(sign_in(make_user(role="admin"), "users:write")).status_code == 403


# What every answer says

ANSWERS = {
    "found": ("GET", "/get-users", None, True, 200),
    "no token": ("GET", "/get-users", None, False, 401),
    "refused": ("POST", "/create-user", {}, True, 422),
    "made": ("POST", "/create-user", NEW, True, 200),
    "missing": ("GET", f"/get-user?id={UUID(int=1)}", None, True, 404),
    "another method": ("DELETE", "/get-users", None, True, 405),
    "nowhere": ("GET", "/nowhere", None, True, 404),
    "options": ("OPTIONS", "/get-users", None, True, 204),
    "head": ("HEAD", "/get-users", None, True, 200),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_says_that_this_is_old_and_what_succeeds_it(client_with_auth, admin, name):
    method, path, body, signed, status = ANSWERS[name]
    headers = admin if signed else {}
    answer = client_with_auth.open(URL + path, method=method, json=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["Deprecation"].startswith("@")
    assert int(answer.headers["Deprecation"][1:]) > 1_700_000_000
    is_operation = name not in ("another method", "nowhere")
    successor = "/api/v2/users" if is_operation else "/api/v2/openapi.json"
    assert answer.headers["Link"] == f'<{successor}>; rel="successor-version"'
