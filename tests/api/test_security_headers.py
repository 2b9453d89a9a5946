"""The headers that keep an answer where it belongs, and the origins that are let in."""

import json
import socket
from contextlib import closing
from uuid import UUID

import pytest

from alchemist import config
from alchemist import database as db
from alchemist.app import create_app
from alchemist.config import ConfigurationError
from alchemist.domains.heroes import service as heroes
from tests.factories import make_hero, make_user, sign_in
from tests.servers import TIMEOUT

HEROES = "/api/v2/heroes"
ORIGIN = "https://shop.example"
OTHER = "http://localhost:3000"
ANY = {"If-Match": "*"}


def assert_secure(headers):
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy or "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] in ("private, no-cache", "no-store", "no-cache")


@pytest.fixture
def admin(client_with_auth):
    return sign_in(make_user(role="admin"))


ANSWERS = {
    200: ("GET", HEROES, None, {}),
    201: ("POST", HEROES, {"nickname": "Moss"}, {}),
    204: ("DELETE", "{hero}", None, ANY),
    304: ("GET", "{hero}", None, {"If-None-Match": "*"}),
    400: ("POST", HEROES, {"nickname": "Moss"}, {"Idempotency-Key": "é"}),
    401: ("GET", HEROES, None, {"Authorization": "Bearer alc_nonsense"}),
    404: ("GET", "/nowhere", None, {}),
    405: ("PUT", HEROES, {}, {}),
    406: ("GET", HEROES, None, {"Accept": "text/html"}),
    409: ("POST", HEROES, {"nickname": "Thistle"}, {}),
    412: ("DELETE", "{hero}", None, {"If-Match": '"precondition-failed"'}),
    415: ("POST", HEROES, {"nickname": "Moss"}, {"Content-Type": "text/plain"}),
    422: ("POST", HEROES, {"nickname": ""}, {}),
    428: ("DELETE", "{hero}", None, {}),
}


@pytest.mark.parametrize("status", ANSWERS)
def test_every_answer_is_secured(client_with_auth, admin, status):
    hero = make_hero(nickname="Thistle")
    method, path, body, headers = ANSWERS[status]
    url = path.format(hero=f"{HEROES}/{hero.pk}")
    answer = client_with_auth.open(url, method=method, json=body, headers=admin | headers)
    assert answer.status_code == status
    assert_secure(answer.headers)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/api/v1/", "/", "/problems/not-found"])
def test_pages_outside_of_the_api_have_security_headers(client_with_auth, path):
    assert_secure(client_with_auth.get(path).headers)


@pytest.mark.parametrize("path", ["/api/docs", "/api/openapi.json"])
def test_the_documentation_is_secured_where_it_is(client_with_auth, path):
    answer = client_with_auth.get(path)
    assert answer.status_code in (200, 404)
    assert_secure(answer.headers)


def test_a_preflight_is_secured(client_with_auth):
    assert_secure(client_with_auth.options(HEROES).headers)


def test_an_answer_to_one_who_may_not_is_secured(client_with_auth):
    answer = client_with_auth.get("/api/v2/audit", headers=sign_in(make_user()))
    assert answer.status_code == 403
    assert_secure(answer.headers)


def fail(**_filters):
    raise ZeroDivisionError


def test_a_defect_is_answered_securely(app, client_with_auth, monkeypatch):
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    monkeypatch.setattr(heroes, "list_query", fail)
    answer = client_with_auth.get(HEROES)
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert_secure(answer.headers)


BROKEN = {
    "no request": b"nonsense\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n",
    "a header too long": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n" % (b"x" * 9000),
}


def exchange(port, sent):
    with closing(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.decode().partition("\r\n\r\n")
    return dict(line.split(": ", 1) for line in head.split("\r\n")[1:]), json.loads(body)


def test_what_the_server_itself_refuses_is_secured(gunicorn):
    for sent in BROKEN.values():
        headers, body = exchange(gunicorn.port, sent)
        assert 400 <= body["status"] < 500
        assert_secure(headers)


def test_no_answer_names_the_servers_software_in_detail(client_with_auth):
    answer = client_with_auth.get(HEROES)
    assert "X-Powered-By" not in answer.headers


def test_an_answer_differs_by_who_asks(client_with_auth):
    assert "Authorization" in client_with_auth.get(HEROES).vary


# CORS


@pytest.fixture
def shared(database, transaction, app):
    """Return what makes a client of an app that lets scripts of some origins in."""
    bound = db.session.session_factory.kw["bind"]
    made = []

    def make(*origins, open_access=True):
        settings = config.Settings(
            database_url=database, open_access=open_access, cors_origins=origins
        )
        made.append(create_app(settings))
        db.session.configure(bind=bound)
        return made[-1].test_client()

    yield make
    for other in made:
        other.extensions["engines"].autocommit.dispose()
        other.extensions["engines"].transaction.dispose()


def shared_with(answer):
    """Return what the answer tells browsers about scripts of other origins."""
    return {
        name: value for name, value in answer.headers if name.lower().startswith("access-control-")
    }


def preflight(client, method, *headers, origin=ORIGIN, path=HEROES):
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        asked["Access-Control-Request-Headers"] = ", ".join(headers)
    return client.options(path, headers=asked)


@pytest.mark.parametrize("origin", [ORIGIN, "null", "http://localhost:8000"])
def test_no_origin_is_let_in_by_default(client_with_auth, origin):
    assert shared_with(client_with_auth.get(HEROES, headers={"Origin": origin})) == {}
    assert shared_with(preflight(client_with_auth, "GET", origin=origin)) == {}
    assert shared_with(client_with_auth.get("/nowhere", headers={"Origin": origin})) == {}


@pytest.mark.parametrize("origin", [ORIGIN, OTHER])
def test_a_configured_origin_is_let_in(shared, origin):
    answer = shared(ORIGIN, OTHER).get(HEROES, headers={"Origin": origin})
    assert answer.status_code == 200
    assert answer.headers.getlist("Access-Control-Allow-Origin") == [origin]


FOREIGN = [
    "https://evil.example",
    "https://shop.example.evil.example",
    "https://evil-shop.example",
    "https://shopXexample",
    "https://sub.shop.example",
    "http://shop.example",
    "https://shop.example:8443",
    "https://shop.example/",
    "null",
    "*",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_origin_gets_nothing(shared, origin):
    client = shared(ORIGIN, OTHER)
    assert shared_with(client.get(HEROES, headers={"Origin": origin})) == {}
    assert shared_with(preflight(client, "PATCH", "Authorization", origin=origin)) == {}


def test_a_request_without_origin_gets_no_cors_headers(shared):
    """Which shops there are is nobody's business; and a header with two values is invalid."""
    assert shared_with(shared(ORIGIN, OTHER).get(HEROES)) == {}


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_a_preflight_permits_every_method(shared, method):
    told = shared_with(preflight(shared(ORIGIN), method))
    assert told["Access-Control-Allow-Origin"] == ORIGIN
    assert method in told["Access-Control-Allow-Methods"].split(", ")


SENT = ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"]


@pytest.mark.parametrize("name", SENT)
def test_a_preflight_permits_the_headers_that_requests_need(shared, name):
    told = shared_with(preflight(shared(ORIGIN), "PATCH", name.lower()))
    allowed = told["Access-Control-Allow-Headers"].lower().split(", ")
    assert name.lower() in allowed


def test_a_preflight_needs_no_token(shared):
    answer = preflight(shared(ORIGIN, open_access=False), "DELETE", path=f"{HEROES}/{UUID(int=0)}")
    assert answer.status_code in (200, 204)
    assert shared_with(answer)["Access-Control-Allow-Origin"] == ORIGIN


READ = [
    "Alchemist-Position",
    "Deprecation",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "X-Client-Request-ID",
    "X-Request-ID",
    "X-Total-Count",
]


@pytest.mark.parametrize("name", READ)
def test_a_script_may_read_the_headers_of_the_contract(shared, name):
    answer = shared(ORIGIN).get(HEROES, headers={"Origin": ORIGIN})
    assert name in answer.headers["Access-Control-Expose-Headers"].split(", ")


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/api/v2/me", 401)])
def test_scripts_may_read_error_responses(shared, path, status):
    answer = shared(ORIGIN, open_access=False).get(path, headers={"Origin": ORIGIN})
    assert answer.status_code == status
    assert shared_with(answer)["Access-Control-Allow-Origin"] == ORIGIN


def test_no_response_sets_a_cookie(shared):
    client = shared(ORIGIN)
    for answer in (client.get(HEROES, headers={"Origin": ORIGIN}), preflight(client, "GET")):
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_caches_keep_origins_and_callers_apart(shared):
    answer = shared(ORIGIN, OTHER).get(HEROES, headers={"Origin": ORIGIN})
    assert {"origin", "authorization"} <= {name.lower() for name in answer.vary}


@pytest.mark.parametrize("origins", [(ORIGIN,), (ORIGIN, OTHER)])
@pytest.mark.parametrize("headers", [{}, {"Origin": ORIGIN}, {"Origin": "https://evil.example"}])
def test_every_answer_varies_by_origin_where_cors_is_configured(shared, origins, headers):
    answer = shared(*origins).get(HEROES, headers=headers)
    assert answer.headers.getlist("Vary") == ["Accept, Origin, Authorization"]


def test_no_answer_varies_by_origin_without_cors(client):
    answer = client.get(HEROES, headers={"Origin": ORIGIN})
    assert answer.headers.getlist("Vary") == ["Accept, Authorization"]


def test_an_answer_to_another_origin_is_secured(shared):
    assert_secure(shared(ORIGIN).get(HEROES, headers={"Origin": ORIGIN}).headers)


@pytest.fixture
def origins(monkeypatch, tmp_path):
    """Return what reads the setting from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/alchemist")

    def call(value):
        monkeypatch.setenv("ALCHEMIST_CORS_ORIGINS", value)
        return config.load().cors_origins

    return call


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", ()),
        (ORIGIN, (ORIGIN,)),
        (f"{ORIGIN},{OTHER}", (ORIGIN, OTHER)),
    ],
)
def test_origins_are_separated_by_commas(origins, value, found):
    assert origins(value) == found


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "null",
        "shop.example",
        "https://shop.example/",
        "https://*.shop.example",
        "https://shop.example/path",
        "ftp://shop.example",
        "https://",
        ".*",
        f"{ORIGIN},*",
        f"{ORIGIN} {OTHER}",
        "https://user@shop.example",
        "https://shop.example\nhttps://evil.example",
    ],
)
def test_what_is_no_origin_is_refused_at_the_start(origins, value):
    with pytest.raises(ConfigurationError) as refused:
        origins(value)
    assert any(line.startswith("ALCHEMIST_CORS_ORIGINS: ") for line in refused.value.errors)


V1_USERS, V1_ORDERS = "/api/v1/user/get-users", "/api/v1/orders/"
PERSONAL = ["users", "me", "orders", "audit", "coupons"]


@pytest.mark.parametrize("path", [f"/api/v2/{name}" for name in PERSONAL] + [V1_USERS, V1_ORDERS])
def test_a_response_that_needs_a_permission_is_not_stored_in_any_cache(client_with_auth, path):
    admin = sign_in(make_user(role="admin"))
    for headers, status in ((admin, 200), ({}, 401)):
        response = client_with_auth.get(path, headers=headers)
        assert response.status_code == status
        assert response.headers["Cache-Control"] == "no-store"


def test_an_item_an_error_and_an_unchanged_item_are_not_stored_either(client_with_auth):
    user = make_user(role="admin")
    headers, url = sign_in(user), f"/api/v2/users/{user.pk}"
    found = client_with_auth.get(url, headers=headers)
    unchanged = client_with_auth.get(
        url, headers=headers | {"If-None-Match": found.headers["ETag"]}
    )
    stale = client_with_auth.patch(url, json={}, headers=headers | {"If-Match": '"x"'})
    responses = [found, unchanged, stale]
    assert [each.status_code for each in responses] == [200, 304, 412]
    assert {each.headers["Cache-Control"] for each in responses} == {"no-store"}


@pytest.mark.parametrize("path", ["/api/v2/potions", "/api/v2/heroes", "/api/v1/potions"])
def test_a_public_response_may_be_stored_and_is_validated_before_each_use(client, path):
    assert client.get(path).headers["Cache-Control"] == "private, no-cache"
