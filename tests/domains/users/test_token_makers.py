"""Tokens that were made with tokens: they end with them at the latest."""

from datetime import UTC, datetime, timedelta

import pytest

from alchemist import database as db
from alchemist.domains.users import token_service
from alchemist.domains.users.models import Token
from alchemist.domains.users.permissions import ADMIN
from tests.domains.users.tokens import tokens_url
from tests.factories import bearer, make_token, make_user, sign_in

ME = "/api/v2/me"
ANY = {"If-Match": "*"}
WRITER = ["me:read", "tokens:read", "tokens:write"]


@pytest.fixture
def chain(create_token):
    """Three tokens as they were created, each with the one before it."""
    first = create_token(permissions=WRITER).json
    second = create_token(bearer(first["token"]), permissions=WRITER).json
    return [first, second, create_token(bearer(second["token"]), permissions=WRITER).json]


def statuses(client, tokens):
    return [client.get(ME, headers=bearer(token["token"])).status_code for token in tokens]


def test_a_token_names_the_token_it_was_made_with(chain):
    assert [token["made_with_id"] for token in chain[1:]] == [token["pk"] for token in chain[:2]]


def test_a_token_of_the_command_line_was_made_with_none(client_with_auth, user, user_headers):
    [token] = client_with_auth.get(tokens_url(user), headers=user_headers).json
    assert token["made_with_id"] is None


def test_revoking_a_token_revokes_those_made_with_it_and_no_others(
    client_with_auth, user, user_headers, chain
):
    url = f"{tokens_url(user)}/{chain[1]['pk']}"
    assert client_with_auth.delete(url, headers=user_headers).status_code == 204
    assert statuses(client_with_auth, chain) == [200, 401, 401]


def test_a_token_of_another_user_ends_with_the_token_of_its_maker(
    client_with_auth, admin, create_token
):
    maker = sign_in(make_user(role="admin"))
    created = create_token(maker, owner=make_user()).json
    assert statuses(client_with_auth, [created]) == [200]
    maker_id = db.session.get(Token, created["made_with_id"])
    client_with_auth.delete(f"/api/v2/users/{maker_id.user_id}/tokens/{maker_id.pk}", headers=admin)
    assert statuses(client_with_auth, [created]) == [401]


def test_a_revocation_reaches_those_that_were_made_with_an_expired_token(
    client_with_auth, user, user_headers, chain
):
    db.session.get(Token, chain[1]["pk"]).expires_at = datetime.now(UTC)
    db.session.commit()
    client_with_auth.delete(f"{tokens_url(user)}/{chain[0]['pk']}", headers=user_headers)
    assert statuses(client_with_auth, chain) == [401, 401, 401]


def test_each_revoked_token_has_an_audit_entry(client_with_auth, admin, user, user_headers, chain):
    deleted = client_with_auth.delete(f"{tokens_url(user)}/{chain[0]['pk']}", headers=user_headers)
    entries = client_with_auth.get("/api/v2/audit?resource=tokens&limit=200", headers=admin).json
    request_id = deleted.headers["X-Request-ID"]
    revoked = {each["resource_pk"] for each in entries if each["request_id"] == request_id}
    assert revoked == {token["pk"] for token in chain}


def test_deleting_a_user_ends_the_tokens_made_with_theirs(client_with_auth, admin, create_token):
    leaver = make_user(role="admin")
    created = create_token(sign_in(leaver), owner=make_user()).json
    response = client_with_auth.delete(f"/api/v2/users/{leaver.pk}", headers=admin | ANY)
    assert response.status_code == 204
    assert statuses(client_with_auth, [created]) == [401]


def test_all_tokens_of_a_user_are_revoked_at_once(client_with_auth, user, user_headers, chain):
    other = sign_in(make_user())
    response = client_with_auth.post(f"{tokens_url(user)}/revoke", headers=user_headers)
    assert (response.status_code, response.json) == (200, {"revoked": 4})
    assert statuses(client_with_auth, chain) == [401, 401, 401]
    assert client_with_auth.get(ME, headers=user_headers).status_code == 401
    assert client_with_auth.get(ME, headers=other).status_code == 200


@pytest.mark.parametrize("body", [{}, None])
def test_revoking_all_takes_no_body(client_with_auth, user, admin, body):
    url = f"{tokens_url(user)}/revoke"
    assert client_with_auth.post(url, json=body, headers=admin).status_code in (200, 422)
    assert client_with_auth.post(url, json={"x": 1}, headers=admin).status_code == 422
    assert client_with_auth.post(f"{url}?x=1", headers=admin).status_code == 422


def test_the_answer_of_a_revocation_of_all_can_be_repeated(client_with_auth, user, admin):
    make_token(user)
    headers = admin | {"Idempotency-Key": "one"}
    url = f"{tokens_url(user)}/revoke"
    assert [client_with_auth.post(url, headers=headers).json for _ in "ab"] == [{"revoked": 1}] * 2


def test_a_customer_cannot_revoke_the_tokens_of_another(client_with_auth, user, user_headers):
    other = make_user()
    secret = make_token(other)
    response = client_with_auth.post(f"{tokens_url(other)}/revoke", headers=user_headers)
    assert response.status_code == 404
    assert client_with_auth.get(ME, headers=bearer(secret)).status_code == 200


# Expiry


def test_a_token_expires_with_its_maker_at_the_latest(create_token, user):
    soon = datetime.now(UTC) + timedelta(days=3)
    maker = bearer(make_token(user, expires_at=soon))
    for expires_at in (None, "2099-01-01T00:00:00Z"):
        created = create_token(maker, expires_at=expires_at).json
        assert datetime.fromisoformat(created["expires_at"]) == soon


def test_a_token_expires_within_a_year(create_token, user):
    maker = bearer(make_token(user, expires_at=datetime(2099, 1, 1, tzinfo=UTC)))
    created = create_token(maker, expires_at="2099-01-01T00:00:00Z").json
    ttl = datetime.fromisoformat(created["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=364, hours=23) < ttl <= timedelta(days=365)


def test_the_longest_time_of_a_token_is_a_setting(app, create_token, user, monkeypatch):
    monkeypatch.setitem(app.extensions, "max_token_ttl", timedelta(days=7))
    created = create_token().json
    ttl = datetime.fromisoformat(created["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < ttl <= timedelta(days=7)


# The number of tokens


def fill(user, count):
    """Give a user tokens until they have this many."""
    for number in range(count - 1):
        token_service.issue_token(user, ADMIN, label=f"Token {number}")


def test_a_user_has_at_most_100_live_tokens(client_with_auth, create_token, user):
    fill(user, 99)
    last = create_token()
    assert last.status_code == 201
    rejected = create_token()
    assert (rejected.status_code, rejected.json["code"]) == (409, "token-limit-reached")


def test_revoked_and_expired_tokens_do_not_count(client_with_auth, create_token, user):
    fill(user, 100)
    revoked, expired = db.session.query(Token).filter(Token.label.in_(["Token 1", "Token 2"]))
    token_service.revoke_token(revoked)
    assert create_token().status_code == 201
    db.session.get(Token, expired.pk).expires_at = datetime.now(UTC)
    db.session.commit()
    assert create_token().status_code == 201
    assert create_token().status_code == 409
