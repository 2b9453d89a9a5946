"""Authentication: which headers are accepted, and how many statements a look-up costs."""

import logging
from base64 import b64encode

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.domains.users import auth, token_format
from tests import problem_contract
from tests.domains.users import database_dump
from tests.factories import bearer, make_ingredient, make_token, make_user

ME = "/api/v2/me"


def get_with_header(client_with_auth, value):
    return client_with_auth.get(ME, headers={"Authorization": value})


INVALID_HEADERS = {
    "unknown": lambda secret: f"Bearer {token_format.generate()}",
    "malformed": lambda secret: "Bearer alc_nonsense",
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


@pytest.mark.parametrize("case", INVALID_HEADERS)
def test_every_invalid_header_gets_the_same_response(client_with_auth, token, case):
    unknown = get_with_header(client_with_auth, f"Bearer {token_format.generate()}")
    response = get_with_header(client_with_auth, INVALID_HEADERS[case](token[1]))
    assert (response.status_code, without_request_id(response)) == (
        401,
        without_request_id(unknown),
    )


@pytest.mark.parametrize("ending", ["expired", "revoked", "deleted"])
def test_a_former_token_gets_the_response_of_an_unknown_one(client_with_auth, token, ending):
    row, secret = token
    statements = {
        "expired": "UPDATE tokens SET expires_at = clock_timestamp() WHERE pk = :pk",
        "revoked": "UPDATE tokens SET revoked_at = clock_timestamp() WHERE pk = :pk",
        "deleted": "DELETE FROM tokens WHERE pk = :pk",
    }
    db.session.execute(text(statements[ending]), {"pk": row.pk})
    response = get_with_header(client_with_auth, f"Bearer {secret}")
    unknown = get_with_header(client_with_auth, f"Bearer {token_format.generate()}")
    assert (response.status_code, without_request_id(response)) == (
        401,
        without_request_id(unknown),
    )


def without_request_id(response):
    """Return the headers and the body of a response, without the request id."""
    ignored = {"X-Request-ID", "Content-Length"}
    headers = sorted((name, value) for name, value in response.headers if name not in ignored)
    return headers, response.text.replace(response.headers["X-Request-ID"], "")


@pytest.mark.parametrize("header", [None, "Bearer alc_nonsense"])
def test_a_401_names_the_authentication_scheme(client_with_auth, header):
    response = client_with_auth.get(ME, headers={"Authorization": header} if header else {})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="alchemist"')


def test_only_a_request_with_credentials_gets_invalid_token(client_with_auth):
    """RFC 6750 §3.1."""
    assert "error" not in client_with_auth.get(ME).headers["WWW-Authenticate"]
    challenge = get_with_header(client_with_auth, "Bearer x").headers["WWW-Authenticate"]
    assert 'error="invalid_token"' in challenge


def test_an_invalid_token_is_rejected_on_a_public_path_too(client_with_auth):
    response = client_with_auth.get(
        "/api/v2/heroes", headers={"Authorization": "Bearer alc_nonsense"}
    )
    assert response.status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_case_insensitive(client_with_auth, token, scheme):
    assert get_with_header(client_with_auth, f"{scheme} {token[1]}").status_code == 200


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "api_key"])
def test_a_token_in_the_query_does_not_authenticate(client_with_auth, token, name):
    response = client_with_auth.get(f"{ME}?{name}={token[1]}")
    assert response.status_code == 401


@pytest.mark.parametrize("name", ["Cookie", "X-Api-Key", "X-Authorization", "Proxy-Authorization"])
def test_a_token_in_another_header_does_not_authenticate(client_with_auth, token, name):
    response = client_with_auth.get(ME, headers={name: f"Bearer {token[1]}"})
    assert response.status_code == 401


# Cost
MALFORMED = [case for case in INVALID_HEADERS if case != "unknown"]


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_token_costs_no_statement(client_with_auth, token, statements, case):
    with statements() as executed:
        assert get_with_header(client_with_auth, INVALID_HEADERS[case](token[1])).status_code == 401
    assert executed == []


def test_an_unknown_token_costs_one_statement(client_with_auth, statements):
    with statements() as executed:
        assert (
            get_with_header(client_with_auth, f"Bearer {token_format.generate()}").status_code
            == 401
        )
    assert len(executed) == 1


READABLE_PATHS = ["/api/v2/ingredients", "/api/v2/ingredients/{}", "/api/v1/potions", "/api/v2/me"]


@pytest.mark.parametrize("path", READABLE_PATHS)
def test_a_token_costs_one_statement_until_it_is_cached(client_with_auth, token, statements, path):
    url = path.format(make_ingredient().pk)
    client_with_auth.get(url)
    with statements() as without_token:
        client_with_auth.get(url)
    with statements() as uncached:
        assert is_ok(client_with_auth, url, token)
    with statements() as cached:
        assert is_ok(client_with_auth, url, token)
    expected_count = 1 if url == ME else len(without_token)
    assert (len(uncached), len(cached)) == (expected_count + 1, expected_count)


def is_ok(client_with_auth, url, token):
    return client_with_auth.get(url, headers=bearer(token[1])).status_code == 200


def test_the_token_cache_is_bounded(client_with_auth, token, monkeypatch):
    monkeypatch.setattr(auth, "TOKEN_CACHE_SIZE", 3)
    user = make_user()
    for _ in range(10):
        assert get_with_header(client_with_auth, f"Bearer {make_token(user)}").status_code == 200
        assert len(auth._token_cache) <= 3


def test_the_token_cache_has_no_secret(client_with_auth, token):
    get_with_header(client_with_auth, f"Bearer {token[1]}")
    assert len(auth._token_cache) == 1
    assert token[1][4:34] not in repr(auth._token_cache)


def test_an_unknown_token_is_not_cached(client_with_auth):
    for _ in range(3):
        get_with_header(client_with_auth, f"Bearer {token_format.generate()}")
    assert auth._token_cache == {}


# Secrecy


def test_a_token_appears_in_no_log_and_no_row(client_with_auth, token, caplog):
    caplog.set_level(logging.DEBUG)
    _, secret = token
    headers = bearer(secret, **{"Idempotency-Key": "one"})
    client_with_auth.post("/api/v2/heroes", json={"nickname": "Thistle"}, headers=headers)
    client_with_auth.post("/api/v2/heroes", json={"nickname": "Thistle"}, headers=bearer(secret))
    client_with_auth.post("/api/v2/heroes", data=b"{", headers=bearer(secret))
    client_with_auth.delete("/api/v2/users/x", headers=bearer(secret))
    rows = database_dump.as_text(db.session.connection())
    assert "Thistle" in rows
    assert secret[4:34] not in caplog.text + rows


def test_a_token_appears_in_no_error(client_with_auth, token):
    _, secret = token
    responses = [
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
    assert {response.status_code for response in responses} >= {403, 400, 404, 422, 405}
    assert not [
        response for response in responses if secret in f"{response.text}{response.headers}"
    ]


def test_a_token_appears_in_no_log_of_a_failed_look_up(
    app, client_with_auth, token, caplog, monkeypatch
):
    """The parameter of the statement that fails is the digest."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    monkeypatch.setattr(auth, "_BY_DIGEST", text("SELECT 1 / 0, CAST(:digest AS text)"))
    # No working statement answers this, so no document lists it.
    monkeypatch.setattr(problem_contract, "check", lambda *_: None)
    response = get_with_header(client_with_auth, f"Bearer {token[1]}")
    assert response.status_code in (422, 500, 503)
    assert token[1] not in caplog.text + response.text
    assert token_format.digest(token[1]) not in caplog.text + response.text
