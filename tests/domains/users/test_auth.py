"""What a request must carry to be somebody's, and what it costs to find out."""

import logging
from base64 import b64encode

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.domains.users import auth, service, token_format
from alchemist.domains.users.permissions import ADMIN
from tests.domains.users import database_dump
from tests.factories import bearer, make_ingredient, make_token, make_user

ME = "/api/v2/me"


@pytest.fixture
def token(client_with_auth):
    """A token that was used a moment ago, and its secret."""
    made, secret = service.issue(make_user(), ADMIN, label="Till")
    client_with_auth.get(ME, headers=bearer(secret))
    auth._token_cache.clear()
    return made, secret


def with_header(client_with_auth, value):
    return client_with_auth.get(ME, headers={"Authorization": value})


REFUSED = {
    "unknown": lambda secret: f"Bearer {token_format.generate()}",
    "malformed-request": lambda secret: "Bearer alc_nonsense",
    "a letter changed": lambda secret: f"Bearer {secret[:-1]}{'a' if secret[-1] != 'a' else 'b'}",
    "nothing": lambda secret: "",
    "a scheme alone": lambda secret: "Bearer",
    "a scheme and a space": lambda secret: "Bearer ",
    "another scheme": lambda secret: f"Token {secret}",
    "Basic, as user": lambda secret: f"Basic {basic(f'{secret}:')}",
    "Basic, as password": lambda secret: f"Basic {basic(f'x:{secret}')}",
    "Basic, plain": lambda secret: f"Basic {secret}",
    "no scheme": lambda secret: secret,
    "two tokens": lambda secret: f"Bearer {secret}, Bearer {secret}",
    "quotes": lambda secret: f'Bearer "{secret}"',
    "parameters": lambda secret: f"Bearer token={secret}",
    "the digest": lambda secret: f"Bearer {token_format.digest(secret)}",
}


def basic(text):
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize("how", REFUSED)
def test_whatever_is_wrong_with_a_token_the_answer_is_the_same(client_with_auth, token, how):
    unknown = with_header(client_with_auth, f"Bearer {token_format.generate()}")
    answer = with_header(client_with_auth, REFUSED[how](token[1]))
    assert (answer.status_code, without_request_id(answer)) == (401, without_request_id(unknown))


@pytest.mark.parametrize("end", ["expired", "revoked", "deleted"])
def test_a_token_that_was_good_is_refused_as_one_that_never_was(client_with_auth, token, end):
    made, secret = token
    statements = {
        "expired": "UPDATE tokens SET expires_at = clock_timestamp() WHERE pk = :pk",
        "revoked": "UPDATE tokens SET revoked_at = clock_timestamp() WHERE pk = :pk",
        "deleted": "DELETE FROM tokens WHERE pk = :pk",
    }
    db.session.execute(text(statements[end]), {"pk": made.pk})
    answer = with_header(client_with_auth, f"Bearer {secret}")
    unknown = with_header(client_with_auth, f"Bearer {token_format.generate()}")
    assert (answer.status_code, without_request_id(answer)) == (401, without_request_id(unknown))


def without_request_id(answer):
    """Return the headers and the body of an answer, without the id of the request."""
    names = {"X-Request-ID", "Content-Length"}
    headers = sorted((name, value) for name, value in answer.headers if name not in names)
    return headers, answer.text.replace(answer.headers["X-Request-ID"], "")


@pytest.mark.parametrize("header", [None, "Bearer alc_nonsense"])
def test_a_refusal_says_how_to_ask(client_with_auth, header):
    answer = client_with_auth.get(ME, headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="alchemist"')


def test_only_a_request_with_credentials_is_told_that_they_are_invalid(client_with_auth):
    """RFC 6750 §3.1."""
    assert "error" not in client_with_auth.get(ME).headers["WWW-Authenticate"]
    sent = with_header(client_with_auth, "Bearer x").headers["WWW-Authenticate"]
    assert 'error="invalid_token"' in sent


def test_a_bad_token_is_refused_even_where_none_is_needed(client_with_auth):
    answer = client_with_auth.get(
        "/api/v2/heroes", headers={"Authorization": "Bearer alc_nonsense"}
    )
    assert answer.status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_has_no_case(client_with_auth, token, scheme):
    assert with_header(client_with_auth, f"{scheme} {token[1]}").status_code == 200


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "api_key"])
def test_a_token_in_the_query_makes_nobody_known(client_with_auth, token, name):
    answer = client_with_auth.get(f"{ME}?{name}={token[1]}")
    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["Cookie", "X-Api-Key", "X-Authorization", "Proxy-Authorization"])
def test_a_token_in_another_header_makes_nobody_known(client_with_auth, token, name):
    answer = client_with_auth.get(ME, headers={name: f"Bearer {token[1]}"})
    assert answer.status_code == 401


# What it costs

MALFORMED = [how for how in REFUSED if how != "unknown"]


@pytest.mark.parametrize("how", MALFORMED)
def test_what_cannot_be_a_token_is_refused_without_a_statement(
    client_with_auth, token, statements, how
):
    with statements() as seen:
        assert with_header(client_with_auth, REFUSED[how](token[1])).status_code == 401
    assert seen == []


def test_an_unknown_token_costs_one_statement(client_with_auth, statements):
    with statements() as seen:
        assert with_header(client_with_auth, f"Bearer {token_format.generate()}").status_code == 401
    assert len(seen) == 1


PATHS = ["/api/v2/ingredients", "/api/v2/ingredients/{}", "/api/v1/potions", "/api/v2/me"]


@pytest.mark.parametrize("path", PATHS)
def test_checking_a_token_adds_at_most_one_statement(client_with_auth, token, statements, path):
    url = path.format(make_ingredient().pk)
    client_with_auth.get(url)
    with statements() as without:
        client_with_auth.get(url)
    with statements() as first:
        assert with_ok(client_with_auth, url, token)
    with statements() as second:
        assert with_ok(client_with_auth, url, token)
    own = 1 if url == ME else len(without)
    assert (len(first), len(second)) == (own + 1, own)


def with_ok(client_with_auth, url, token):
    return client_with_auth.get(url, headers=bearer(token[1])).status_code == 200


def test_the_memory_of_tokens_is_bounded(client_with_auth, token, monkeypatch):
    monkeypatch.setattr(auth, "TOKEN_CACHE_SIZE", 3)
    user = make_user()
    for _ in range(10):
        assert with_header(client_with_auth, f"Bearer {make_token(user)}").status_code == 200
        assert len(auth._token_cache) <= 3


def test_the_memory_of_tokens_has_no_secret(client_with_auth, token):
    with_header(client_with_auth, f"Bearer {token[1]}")
    assert len(auth._token_cache) == 1
    assert token[1][4:34] not in repr(auth._token_cache)


def test_no_unknown_token_is_remembered(client_with_auth):
    for _ in range(3):
        with_header(client_with_auth, f"Bearer {token_format.generate()}")
    assert auth._token_cache == {}


# When it was used


def used_at(made):
    statement = text("SELECT last_used_at FROM tokens WHERE pk = :pk")
    return db.session.scalar(statement, {"pk": made.pk})


def age(made, minutes):
    statement = text(
        "UPDATE tokens SET last_used_at = clock_timestamp() - make_interval(secs => :s)"
        " WHERE pk = :pk"
    )
    db.session.execute(statement, {"pk": made.pk, "s": minutes * 60})
    db.session.commit()
    auth._token_cache.clear()


def test_the_first_use_is_noted(client_with_auth):
    made, secret = service.issue(make_user(), ADMIN, label="Till")
    assert used_at(made) is None
    with_header(client_with_auth, f"Bearer {secret}")
    assert used_at(made) is not None


@pytest.mark.parametrize(("minutes", "is_noted"), [(4.9, False), (5.1, True)])
def test_a_use_is_noted_once_in_five_minutes(client_with_auth, token, minutes, is_noted):
    made, secret = token
    age(made, minutes)
    before = used_at(made)
    with_header(client_with_auth, f"Bearer {secret}")
    assert (used_at(made) > before) == is_noted


def test_a_use_leaves_no_audit_entry(client_with_auth):
    made, secret = service.issue(make_user(), ADMIN, label="Till")
    with_header(client_with_auth, f"Bearer {secret}")
    statement = text("SELECT count(*) FROM audit_log WHERE resource_pk = :pk AND action = 'update'")
    assert db.session.scalar(statement, {"pk": made.pk}) == 0


def test_a_use_is_no_change_of_the_token(client_with_auth):
    made, secret = service.issue(make_user(), ADMIN, label="Till")
    statement = text("SELECT updated_at FROM tokens WHERE pk = :pk")
    before = db.session.scalar(statement, {"pk": made.pk})
    with_header(client_with_auth, f"Bearer {secret}")
    assert db.session.scalar(statement, {"pk": made.pk}) == before


# Where it must not appear


def test_a_token_appears_in_no_log_and_no_row(client_with_auth, token, caplog):
    caplog.set_level(logging.DEBUG)
    _, secret = token
    headers = bearer(secret, **{"Idempotency-Key": "one"})
    client_with_auth.post("/api/v2/heroes", json={"nickname": "Thistle"}, headers=headers)
    client_with_auth.post("/api/v2/heroes", json={"nickname": "Thistle"}, headers=bearer(secret))
    client_with_auth.post("/api/v2/heroes", data=b"{", headers=bearer(secret))
    client_with_auth.delete("/api/v2/users/x", headers=bearer(secret))
    rows = database_dump.of(db.session.connection())
    assert "Thistle" in rows
    assert secret[4:34] not in caplog.text + rows


def test_a_token_appears_in_no_error(client_with_auth, token):
    _, secret = token
    answers = [
        client_with_auth.open(path, method=method, headers=bearer(secret, **extra), data=body)
        for path, method, body, extra in [
            ("/api/v2/users", "POST", b"{}", {}),
            ("/api/v2/heroes", "POST", b"{", {"Content-Type": "application/json"}),
            ("/api/v2/heroes", "POST", b"", {"Idempotency-Key": "é"}),
            ("/nowhere", "GET", b"", {}),
            (f"/api/v2/me?token={secret}", "GET", b"", {}),
            ("/api/v2/me", "PUT", b"", {}),
        ]
    ]
    assert {answer.status_code for answer in answers} >= {403, 400, 404, 422, 405}
    assert not [answer for answer in answers if secret in f"{answer.text}{answer.headers}"]


def test_a_token_appears_in_no_report_of_a_defect(
    app, client_with_auth, token, caplog, monkeypatch
):
    """Not in the log of a failing look-up, whose parameter is the digest."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    monkeypatch.setattr(auth, "_BY_DIGEST", text("SELECT 1 / 0, CAST(:digest AS text)"))
    answer = with_header(client_with_auth, f"Bearer {token[1]}")
    assert answer.status_code in (422, 500, 503)
    assert token[1] not in caplog.text + answer.text
    assert token_format.digest(token[1]) not in caplog.text + answer.text
