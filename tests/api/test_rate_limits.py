"""Rate limits: by token, by address, for costly requests and for failed authentications."""

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest

from alchemist.api import rate_limits
from alchemist.api.rate_limits import (
    COSTLY_REQUESTS,
    COUPON_MISSES,
    FAILED_AUTHENTICATIONS,
    REQUESTS,
    LocalCounters,
    RateLimiter,
)
from alchemist.api.trusted_proxies import TrustedProxies
from alchemist.domains.users import auth, token_format
from tests.factories import bearer, make_coupon, make_potion, make_product, make_user, sign_in
from tests.servers import TIMEOUT, free_port

POTIONS = "/api/v2/potions"
ME = "/api/v2/me"
HERE = {"REMOTE_ADDR": "192.0.2.1"}
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.2"}


@pytest.fixture
def limit(app, monkeypatch):
    """Return a function that sets the limits of the app."""

    def set_limits(storage=None, **limits):
        names = {name.replace("_", "-"): number for name, number in limits.items()}
        monkeypatch.setitem(app.extensions, "rate_limiter", RateLimiter(names, storage))

    return set_limits


def assert_limited(response, policy=REQUESTS):
    assert response.status_code == 429
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == "rate-limited"
    assert policy.replace("-", " ") in response.json["detail"]
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert f'"{policy}";r=0;t={response.headers["Retry-After"]}' in response.headers["RateLimit"]


def statuses(client, count, url=POTIONS, **options):
    return [client.get(url, **options).status_code for _ in range(count)]


# The caller


def test_without_settings_nothing_is_limited(client):
    response = client.get(POTIONS)
    assert not {"RateLimit", "RateLimit-Policy"} & set(response.headers.keys())


def test_headers_tell_the_limit_and_what_is_left(client, limit):
    limit(requests=5)
    client.get(POTIONS)
    response = client.get(POTIONS)
    assert response.headers["RateLimit-Policy"] == '"requests";q=5;w=60'
    assert re.fullmatch(r'"requests";r=3;t=(60|5\d)', response.headers["RateLimit"])


def test_a_request_above_the_limit_is_429(client, limit):
    limit(requests=2)
    assert statuses(client, 2) == [200, 200]
    assert_limited(client.get(POTIONS))


def test_every_kind_of_response_has_the_headers(client, limit):
    limit(requests=50)
    potion = make_potion()
    for method, url, options in (
        ("get", f"{POTIONS}/{potion.pk}", {"headers": {"If-None-Match": "*"}}),
        ("get", f"{POTIONS}?limit=none", {}),
        ("post", POTIONS, {"json": {}}),
        ("delete", f"{POTIONS}/{potion.pk}", {}),
        ("get", "/api/v1/potions", {}),
    ):
        assert "RateLimit" in getattr(client, method)(url, **options).headers


def test_a_request_above_the_limit_changes_nothing(client, limit):
    limit(requests=1)
    client.get(POTIONS)
    assert client.post("/api/v2/ingredients", json={"name": "Salt"}).status_code == 429
    limit()
    assert client.get("/api/v2/ingredients").json == []


def test_each_address_has_its_own_limit(client_with_auth, limit):
    limit(requests=1)
    assert statuses(client_with_auth, 2, environ_overrides=HERE) == [200, 429]
    assert statuses(client_with_auth, 1, environ_overrides=ELSEWHERE) == [200]


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", 429),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", 200),
        ("::ffff:192.0.2.1", "192.0.2.1", 429),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", 200),
    ],
)
def test_an_ipv6_client_is_its_network(client_with_auth, limit, first, second, status):
    limit(requests=1)
    client_with_auth.get(POTIONS, environ_overrides={"REMOTE_ADDR": first})
    response = client_with_auth.get(POTIONS, environ_overrides={"REMOTE_ADDR": second})
    assert response.status_code == status


def test_a_forwarded_address_counts_only_if_its_proxy_is_trusted(
    app, client_with_auth, limit, monkeypatch
):
    limit(requests=1)

    def send(address):
        headers = {"X-Forwarded-For": address}
        return client_with_auth.get(POTIONS, headers=headers, environ_overrides=HERE).status_code

    assert [send("198.51.100.1"), send("198.51.100.2")] == [200, 429]
    monkeypatch.setitem(app.extensions, "trusted_proxies", TrustedProxies(["192.0.2.0/24"]))
    assert [send("198.51.100.1"), send("198.51.100.2"), send("198.51.100.2")] == [200, 200, 429]


def test_clients_of_an_unknown_address_are_not_one_client(client_with_auth, limit):
    limit(requests=1)
    assert statuses(client_with_auth, 2, environ_overrides={"REMOTE_ADDR": ""}) == [200, 200]


def test_each_token_has_its_own_limit_at_any_address(client_with_auth, limit):
    limit(requests=1)
    first, second = sign_in(make_user()), sign_in(make_user())
    assert statuses(client_with_auth, 2, ME, headers=first) == [200, 429]
    assert client_with_auth.get(ME, headers=first, environ_overrides=HERE).status_code == 429
    assert statuses(client_with_auth, 1, ME, headers=second) == [200]
    assert statuses(client_with_auth, 1) == [200]


def test_requests_that_are_forbidden_count(client_with_auth, limit):
    limit(requests=1)
    customer = sign_in(make_user())
    url = "/api/v2/audit"
    assert statuses(client_with_auth, 2, url, headers=customer) == [403, 429]
    assert statuses(client_with_auth, 2, url) == [401, 429]


# Costly requests


@pytest.mark.parametrize(
    ("url", "is_costly"),
    [
        (POTIONS, False),
        (f"{POTIONS}?limit=2&sort=name", False),
        (f"{POTIONS}?q=moon", True),
        (f"{POTIONS}?count=exact", True),
        (f"{POTIONS}?brewable_with=0195611f-cab7-7257-82b1-5963602913a4", True),
        ("/api/v1/potions", True),
    ],
)
def test_costly_requests_have_a_limit_of_their_own(client, limit, url, is_costly):
    limit(requests=50, costly_requests=1)
    assert statuses(client, 2, url) == [200, 429 if is_costly else 200]
    response = client.get(url)
    assert (COSTLY_REQUESTS in response.headers["RateLimit-Policy"]) is is_costly
    if is_costly:
        assert_limited(response, COSTLY_REQUESTS)
    assert statuses(client, 1) == [200]


@pytest.mark.parametrize("url", ["/api/v2/orders", "/api/v2/orders/quote", "/api/v1/orders"])
def test_orders_are_costly(client, limit, url):
    limit(costly_requests=1)
    assert client.post(url, json={}).status_code == 422
    assert_limited(client.post(url, json={}), COSTLY_REQUESTS)


# Failed authentications


def failing_request(client, **options):
    return client.get(ME, headers=bearer(token_format.generate()), **options)


def test_an_address_with_too_many_invalid_tokens_is_429(client_with_auth, limit):
    limit(failed_authentications=2)
    assert [failing_request(client_with_auth).status_code for _ in range(2)] == [401, 401]
    assert_limited(failing_request(client_with_auth), FAILED_AUTHENTICATIONS)
    elsewhere = failing_request(client_with_auth, environ_overrides=ELSEWHERE)
    assert elsewhere.status_code == 401


def test_above_that_limit_no_token_is_looked_up(client_with_auth, limit, statements):
    limit(failed_authentications=1)
    failing_request(client_with_auth)
    with statements() as sent:
        assert failing_request(client_with_auth).status_code == 429
    assert sent == []


def test_malformed_tokens_count_as_failed(client_with_auth, limit):
    limit(failed_authentications=1)
    assert statuses(client_with_auth, 2, headers=bearer("nonsense")) == [401, 429]


def test_valid_and_missing_tokens_do_not_count_as_failed(client_with_auth, limit):
    limit(failed_authentications=1)
    headers = sign_in(make_user())
    for _ in range(3):
        auth._token_cache.clear()
        assert client_with_auth.get(ME, headers=headers).status_code == 200
    assert statuses(client_with_auth, 3, ME) == [401, 401, 401]


# Coupons


@pytest.mark.parametrize("url", ["/api/v2/orders", "/api/v2/orders/quote"])
@pytest.mark.parametrize("code", ["MYRRH", "SPENT"], ids=["unknown", "unusable"])
def test_a_user_who_guesses_coupons_is_429(client_with_auth, limit, url, code):
    limit(coupon_misses=2)
    make_coupon(code="SPENT", init_count=0)
    make_coupon(code="SAGE")
    guesser, other = make_user(), make_user()
    order = {"items": [{"product_id": str(make_product().pk), "quantity": 1}]}

    def send(user, coupon_code):
        # Each time with another token: they are of one user.
        body = order | {"coupon_code": coupon_code}
        return client_with_auth.post(url, json=body, headers=sign_in(user))

    assert [send(guesser, code).status_code // 100 for _ in range(2)] == [4, 4]
    assert_limited(send(guesser, "SAGE"), COUPON_MISSES)
    assert_limited(send(guesser, code), COUPON_MISSES)
    assert send(guesser, None).status_code in (200, 201)
    assert send(other, "SAGE").status_code in (200, 201)


def test_other_mistakes_are_no_guesses(client_with_auth, limit):
    limit(coupon_misses=1)
    make_coupon(code="SAGE")
    body, headers = {"items": [], "coupon_code": "SAGE"}, sign_in(make_user())
    for _ in range(3):
        response = client_with_auth.post("/api/v2/orders/quote", json=body, headers=headers)
        assert response.status_code == 422


# Counters


def test_counters_start_again_after_their_window(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(rate_limits, "monotonic", lambda: now[0])
    counters = LocalCounters()
    assert [counters.increment("a", 1)[0] for _ in range(3)] == [1, 2, 3]
    now[0] += 59
    assert counters.increment("a", 1) == (4, 1.0)
    now[0] += 1
    assert counters.increment("a", 1) == (1, 60.0)


def test_counters_do_not_grow_without_bound(monkeypatch):
    monkeypatch.setattr(rate_limits, "MAX_COUNTERS", 10)
    counters = LocalCounters()
    for number in range(100):
        counters.increment(f"client {number}", 1)
    assert len(counters._counters) == 10
    assert counters.increment("client 99", 1)[0] == 2


# Shared counters


@contextmanager
def redis_server(tmp_path, port):
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("needs Debian's valkey-server or redis-server")
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert any("Ready to accept connections" in line for line in process.stdout)
            yield
        finally:
            process.terminate()
            process.communicate(timeout=TIMEOUT)


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_processes_share_the_counters_of_a_storage(app, client, limit, tmp_path, scheme):
    port = free_port()
    url = f"{scheme}://127.0.0.1:{port}/0"
    with redis_server(tmp_path, port):
        for left in (1, 0):
            limit(url, requests=2)
            response = client.get(POTIONS)
            assert response.status_code == 200
            assert f'"requests";r={left};t=' in response.headers["RateLimit"]
        limit(url, requests=2)
        assert_limited(client.get(POTIONS))


def test_an_unreachable_storage_causes_no_error(client, limit, caplog):
    limit(f"redis://127.0.0.1:{free_port()}", requests=2)
    assert statuses(client, 3) == [200, 200, 429]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "The storage of rate limits fails: this process counts by itself for a while."
    ]


def test_a_storage_is_used_again_when_it_is_back(client, limit, tmp_path, monkeypatch):
    monkeypatch.setattr(rate_limits, "STORAGE_RETRY_INTERVAL", 0.0)
    port = free_port()
    limit(f"redis://127.0.0.1:{port}", requests=1)
    assert statuses(client, 2) == [200, 429]
    with redis_server(tmp_path, port):
        assert statuses(client, 2) == [200, 429]
    assert statuses(client, 1) == [429]


# The time of a search


@pytest.fixture
def lock(fresh_database):
    """A connection that locks the ingredients until it is rolled back."""
    url = fresh_database.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE ingredients, potion_ingredients IN ACCESS EXCLUSIVE MODE")
        yield connection


def assert_cancelled(response):
    assert response.status_code == 503
    assert response.json["code"] == "unavailable"
    assert response.json["detail"] == (
        "A search or a count without a token is cancelled after 0.01 seconds. "
        "Send a token, or search for less."
    )
    assert response.headers["Retry-After"] == "1"


KEYS = ",".join(str(UUID(int=number)) for number in range(100))


@pytest.mark.parametrize(
    "path",
    [
        "ingredients?q=moon",
        "ingredients?count=exact",
        f"potions?brewable_with={KEYS}",
        f"potions?ingredient={KEYS}",
    ],
    ids=lambda path: path.split("=")[0],
)
def test_a_search_without_a_token_is_cancelled_after_its_timeout(
    make_committing_app, lock, statements, path
):
    app = make_committing_app(open_access=False, anonymous_search_timeout=0.01)
    with statements() as sent:
        response = app.test_client().get(f"/api/v2/{path}")
    assert_cancelled(response)
    assert len([each for each in sent if "ingredients" in each]) == 1


@pytest.mark.parametrize("open_access", [False, True], ids=["no search", "open access"])
def test_other_requests_wait_longer(make_committing_app, lock, open_access):
    app = make_committing_app(open_access=open_access, anonymous_search_timeout=0.01)
    query = "?q=moon" if open_access else ""
    with ThreadPoolExecutor(1) as executor:
        response = executor.submit(app.test_client().get, f"/api/v2/ingredients{query}")
        assert not wait([response], timeout=0.3).done
        lock.rollback()
        assert response.result(TIMEOUT).status_code == 200
