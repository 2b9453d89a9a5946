"""Tokens: made, shown once, narrowed, listed, revoked."""

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
    """Return what makes a token of the user."""

    def call(headers=user_headers, of=user, **values):
        return client_with_auth.post(url(of), json={"label": "Till"} | values, headers=headers)

    return call


def url(user):
    return f"/api/v2/users/{user.pk}/tokens"


def labels(user):
    statement = text("SELECT label FROM tokens WHERE user_id = :pk")
    return db.session.scalars(statement, {"pk": user.pk}).all()


def permissions_of(client_with_auth, secret):
    return client_with_auth.get(ME, headers=bearer(secret)).json["permissions"]


# What is made and shown


def test_a_new_token_is_answered_with_its_secret(post):
    answer = post()
    assert answer.status_code == 201
    assert set(answer.json) == FIELDS | {"token"}
    assert token_format.is_well_formed(answer.json["token"])


def test_a_new_token_is_good_at_once(client_with_auth, post):
    assert client_with_auth.get(ME, headers=bearer(post().json["token"])).status_code == 200


def test_a_new_token_stands_at_its_location_without_the_secret(
    client_with_auth, post, user_headers
):
    made = post()
    shown = client_with_auth.get(made.location, headers=user_headers)
    assert shown.json == {name: made.json[name] for name in FIELDS}
    assert shown.headers["ETag"] == made.headers["ETag"]


def test_the_answer_with_the_secret_is_for_no_cache(post):
    assert post().headers["Cache-Control"] == "no-store"


def test_the_secret_is_in_no_later_answer(client_with_auth, post, user_headers):
    made = post()
    secret = made.json["token"]
    admin = sign_in(make_user(role="admin"))
    later = [
        client_with_auth.get(path, headers=headers).text
        for path in (made.location, made.location.rpartition("/")[0], "/api/v2/audit", ME)
        for headers in (user_headers, admin, bearer(secret))
    ]
    assert not [answer for answer in later if secret in answer or secret[4:34] in answer]


def test_only_the_digest_is_stored(post):
    secret = post(label="Only this").json["token"]
    rows = database_dump.of(db.session.connection())
    assert "Only this" in rows
    assert token_format.digest(secret) in rows
    assert secret[4:34] not in rows


def test_no_answer_and_no_audit_entry_has_the_digest(client_with_auth, post, user_headers):
    made = post()
    digest = token_format.digest(made.json["token"])
    audit = client_with_auth.get("/api/v2/audit", headers=sign_in(make_user(role="admin")))
    assert made.json["pk"] in audit.text
    assert (
        digest
        not in audit.text
        + made.text
        + client_with_auth.get(made.location, headers=user_headers).text
    )


def test_a_token_lasts_90_days_by_default(post):
    made = post().json
    expires_in = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89, hours=23, minutes=59) < expires_in <= timedelta(days=90)


def test_null_is_the_default_too(post):
    made = post(expires_at=None, permissions=None).json
    assert made["permissions"] is None
    assert made["expires_at"] > (datetime.now(UTC) + timedelta(days=89)).isoformat()


def test_a_token_lasts_as_long_as_asked_for(post):
    made = post(expires_at="2099-01-02T03:04:05+01:00").json
    assert made["expires_at"] == "2099-01-02T02:04:05.000000+00:00"


@pytest.mark.parametrize("expires_at", ["2020-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_token_that_has_expired_already_is_refused(post, user, expires_at):
    answer = post(expires_at=expires_at)
    assert answer.status_code == 422
    assert error_pointers(answer) == {"#/expires_at"}
    assert "Till" not in labels(user)


@pytest.mark.parametrize("expires_at", ["2099-01-01T00:00:00", "tomorrow", 5, "2099-01-01"])
def test_an_expiry_that_is_no_instant_is_refused(post, expires_at):
    assert pointers_and_codes(post(expires_at=expires_at)) == {("#/expires_at", "wrong-type")}


@pytest.mark.parametrize("length", [1, 127])
def test_a_label_has_1_to_127_characters(post, length):
    assert post(label="é" * length).json["label"] == "é" * length


@pytest.mark.parametrize(
    ("label", "code"), [("", "too-short"), (" ", "too-short"), ("a" * 128, "too-long")]
)
def test_a_label_of_another_length_is_refused(post, label, code):
    assert pointers_and_codes(post(label=label)) == {("#/label", code)}


def test_a_token_needs_a_label(client_with_auth, user, user_headers):
    assert pointers_and_codes(client_with_auth.post(url(user), json={}, headers=user_headers)) == {
        ("#/label", "required")
    }


@pytest.mark.parametrize("name", ["token", "digest", "user_id", "revoked_at", "pk"])
def test_what_a_token_is_made_with_is_no_choice_of_the_caller(post, name):
    answer = post(**{name: "x"})
    assert answer.status_code == 422
    assert error_pointers(answer) == {f"#/{name}"}


def test_a_key_is_refused_for_what_is_answered_once(post, user_headers, user):
    answer = post(user_headers | {"Idempotency-Key": "one"})
    assert answer.status_code == 400
    assert answer.json["errors"][0]["header"] == "Idempotency-Key"
    assert "Till" not in labels(user)


# What it permits


def test_a_token_permits_what_its_role_does(client_with_auth, post):
    assert permissions_of(client_with_auth, post().json["token"]) == sorted(CUSTOMER)


def test_a_token_is_narrowed_to_some_permissions(client_with_auth, post):
    made = post(permissions=["me:read"]).json
    assert made["permissions"] == ["me:read"]
    assert permissions_of(client_with_auth, made["token"]) == ["me:read"]


def test_a_token_without_any_permission_may_nothing_that_needs_one(client_with_auth, post):
    headers = bearer(post(permissions=[]).json["token"])
    assert client_with_auth.get(ME, headers=headers).status_code == 403
    assert client_with_auth.get("/api/v2/heroes", headers=headers).status_code == 200


@pytest.mark.parametrize("permission", ["me:write", "", "*", "ME:READ", "me:read "])
def test_an_unknown_permission_is_told_with_its_pointer(post, permission):
    answer = post(permissions=["me:read", permission])
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {("#/permissions/1", "not-one-of")}


@pytest.mark.parametrize("permissions", ["me:read", {"me:read": True}, [5], [None]])
def test_permissions_are_a_list_of_words(post, permissions):
    assert post(permissions=permissions).status_code == 422


def test_a_narrowed_caller_makes_no_token_with_another_permission(post, user):
    narrowed = sign_in(user, "tokens:write", "me:read")
    answer = post(narrowed, permissions=["me:read", "heroes:write"])
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "heroes:write"
    assert "Till" not in labels(user)


@pytest.mark.parametrize("values", [{}, {"permissions": None}])
def test_a_narrowed_caller_makes_no_token_of_the_whole_role(post, user, values):
    answer = post(sign_in(user, "tokens:write", "me:read"), **values)
    assert answer.status_code == 403
    assert "Till" not in labels(user)


def test_a_narrowed_caller_passes_on_what_they_hold(client_with_auth, post, user):
    narrowed = sign_in(user, "tokens:write", "me:read")
    secret = post(narrowed, permissions=["me:read"]).json["token"]
    assert permissions_of(client_with_auth, secret) == ["me:read"]


def test_nobody_asks_for_a_permission_that_their_role_has_not(post, user):
    answer = post(permissions=["me:read", "users:write"])
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "users:write"


def test_a_permission_asked_for_without_being_held_is_not_had_after_a_promotion(
    client_with_auth, post, user
):
    """Somebody with a narrowed token must not leave a wider one for when the user is promoted."""
    narrowed = sign_in(user, "tokens:write", "me:read")
    secret = (post(narrowed, permissions=["me:read", "users:write"]).json or {}).get("token")
    promote(user)
    assert secret is None or permissions_of(client_with_auth, secret) == ["me:read"]


def test_the_token_of_a_narrowed_caller_does_not_grow_with_the_role(client_with_auth, post, user):
    """The caller's own token, which names what it permits, would not."""
    narrowed = sign_in(user, *sorted(CUSTOMER))
    secret = (post(narrowed).json or {}).get("token")
    promote(user)
    assert secret is None or set(permissions_of(client_with_auth, secret)) <= CUSTOMER


def promote(user):
    db.session.execute(text("UPDATE users SET role = 'admin' WHERE pk = :pk"), {"pk": user.pk})
    db.session.commit()
    auth._token_cache.clear()


def test_a_narrowed_admin_makes_no_token_of_an_admin(post):
    caller, other = make_user(role="admin"), make_user(role="admin")
    narrowed = sign_in(caller, "tokens:write", "tokens:write:any", "tokens:read:any")
    assert post(narrowed, of=other).status_code == 403
    assert labels(other) == []


def test_an_admin_makes_a_token_of_somebody_else_that_permits_what_that_role_does(
    client_with_auth, post
):
    merchant = make_user(role="merchant")
    made = post(sign_in(make_user(role="admin")), of=merchant).json
    assert made["user_id"] == str(merchant.pk)
    assert "users:write" not in permissions_of(client_with_auth, made["token"])


def test_nobody_makes_a_token_of_somebody_else(post, user):
    other = make_user()
    assert post(of=other).status_code == 404
    assert labels(other) == []


# Lists and rows of others


def test_the_list_has_every_token_of_the_user_alone(client_with_auth, user, user_headers, post):
    make_token(make_user())
    made = post().json
    listed = client_with_auth.get(url(user), headers=user_headers).json
    assert all(set(token) == FIELDS and token["user_id"] == str(user.pk) for token in listed)
    assert [token["pk"] for token in listed].count(made["pk"]) == 1
    assert len(listed) == 2


@pytest.mark.parametrize("sort", ["pk", "-pk", "created_at", "-created_at"])
def test_the_list_is_walked_to_its_end(client_with_auth, user, user_headers, sort):
    for _ in range(4):
        make_token(user)
    address, seen = f"{url(user)}?limit=2&sort={sort}", set()
    while address:
        answer = client_with_auth.get(address, headers=user_headers)
        seen |= {token["pk"] for token in answer.json}
        following = re.search('<([^>]+)>; rel="next"', answer.headers["Link"])
        address = following and following[1]
    assert len(seen) == 5


def test_a_token_is_not_found_under_another_user(client_with_auth, user):
    token, _ = service.issue(user, ADMIN, label="Mine")
    admin = sign_in(make_user(role="admin"))
    other = make_user()
    for method in ("GET", "DELETE"):
        answer = client_with_auth.open(f"{url(other)}/{token.pk}", method=method, headers=admin)
        assert answer.status_code == 404


def test_who_may_read_all_tokens_and_write_their_own_revokes_no_other(client_with_auth, user):
    token, secret = service.issue(user, ADMIN, label="Mine")
    reader = sign_in(make_user(role="admin"), "tokens:write", "tokens:read", "tokens:read:any")
    answer = client_with_auth.delete(f"{url(user)}/{token.pk}", headers=reader)
    assert answer.status_code in (403, 404)
    assert client_with_auth.get(ME, headers=bearer(secret)).status_code == 200


def test_who_may_write_all_tokens_revokes_one_without_reading_it(client_with_auth, user):
    token, secret = service.issue(user, ADMIN, label="Mine")
    writer = sign_in(make_user(role="admin"), "tokens:write", "tokens:write:any")
    assert client_with_auth.delete(f"{url(user)}/{token.pk}", headers=writer).status_code == 204
    assert client_with_auth.get(ME, headers=bearer(secret)).status_code == 401


# The end of a token


def refused(client_with_auth, secret):
    return client_with_auth.get(ME, headers=bearer(secret)).status_code == 401


def test_a_revoked_token_is_refused_by_the_next_request(client_with_auth, user, user_headers):
    token, secret = service.issue(user, ADMIN, label="Mine")
    for _ in range(2):
        assert client_with_auth.get(ME, headers=bearer(secret)).status_code == 200
    assert (
        client_with_auth.delete(f"{url(user)}/{token.pk}", headers=user_headers).status_code == 204
    )
    assert refused(client_with_auth, secret)
    assert client_with_auth.get(ME, headers=user_headers).status_code == 200


def test_a_token_revokes_itself(client_with_auth, user):
    token, secret = service.issue(user, ADMIN, label="Mine")
    headers = bearer(secret)
    assert client_with_auth.delete(f"{url(user)}/{token.pk}", headers=headers).status_code == 204
    assert refused(client_with_auth, secret)


def test_a_revoked_token_stays_listed_with_the_instant(client_with_auth, user, user_headers, post):
    made = post()
    client_with_auth.delete(made.location, headers=user_headers)
    shown = client_with_auth.get(made.location, headers=user_headers).json
    assert shown["revoked_at"] is not None
    assert shown in client_with_auth.get(url(user), headers=user_headers).json


def test_revoking_again_changes_nothing(client_with_auth, user_headers, post):
    made = post()
    client_with_auth.delete(made.location, headers=user_headers)
    first = client_with_auth.get(made.location, headers=user_headers).json
    assert client_with_auth.delete(made.location, headers=user_headers).status_code == 204
    assert client_with_auth.get(made.location, headers=user_headers).json == first


def test_revoking_heeds_an_if_match_that_is_sent(client_with_auth, user_headers, post):
    made = post()
    answer = client_with_auth.delete(
        made.location, headers=user_headers | {"If-Match": '"precondition-failed"'}
    )
    assert answer.status_code == 412
    assert not refused(client_with_auth, made.json["token"])


def test_a_demoted_user_may_less_with_the_next_request(client_with_auth, admin):
    user = make_user(role="admin")
    headers = sign_in(user)
    assert client_with_auth.get("/api/v2/audit", headers=headers).status_code == 200
    change = {"json": {"role": "customer"}, "headers": admin | {"If-Match": "*"}}
    assert client_with_auth.patch(f"/api/v2/users/{user.pk}", **change).status_code == 200
    assert client_with_auth.get("/api/v2/audit", headers=headers).status_code == 403
    assert client_with_auth.get(ME, headers=headers).json["permissions"] == sorted(CUSTOMER)


def test_an_anonymised_user_is_refused_by_the_next_request(
    client_with_auth, admin, user, user_headers
):
    assert client_with_auth.get(ME, headers=user_headers).status_code == 200
    assert (
        client_with_auth.post(f"/api/v2/users/{user.pk}/anonymise", headers=admin).status_code
        == 200
    )
    assert client_with_auth.get(ME, headers=user_headers).status_code == 401


def test_a_refused_change_of_a_user_leaves_nothing_behind(
    client_with_auth, admin, user, user_headers
):
    """What ends trust must not end in half: the token works before and after a 409."""
    make_user(email="ada@alchemist.example")
    change = {"email": "ada@alchemist.example"}
    headers = admin | {"If-Match": "*"}
    address = f"/api/v2/users/{user.pk}"
    assert client_with_auth.patch(address, json=change, headers=headers).status_code == 409
    assert client_with_auth.get(ME, headers=user_headers).status_code == 200


def test_a_token_is_refused_from_the_instant_it_expires(client_with_auth, user):
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    headers = bearer(make_token(user, expires_at=soon))
    assert client_with_auth.get(ME, headers=headers).status_code == 200
    while datetime.now(UTC) < soon:
        last = client_with_auth.get(ME, headers=headers).status_code
    assert last in (200, 401)
    assert client_with_auth.get(ME, headers=headers).status_code == 401


def test_the_body_of_a_new_token_is_json_whatever_the_label_is(post):
    label = 'A "label" \\ of {braces} and é'
    answer = post(label=label)
    assert json.loads(answer.data)["label"] == label
