"""Tokens among several sessions and processes: what they cost, and when they end."""

import json
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from threading import Barrier, Event, Lock
from time import monotonic, sleep

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from alchemist.domains.users import auth, token_format
from alchemist.domains.users.models import Token, User
from alchemist.domains.users.permissions import CUSTOMER
from tests.domains.users import database_dump
from tests.factories import bearer
from tests.servers import Gunicorn

CONNECTIONS = 40
FOREVER = "2099-01-01T00:00:00Z"
KILL = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
LOCKED = text("SELECT pk FROM users WHERE pk = :pk FOR UPDATE")
WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)

pytestmark = pytest.mark.slow


def sign_up(connection, role="customer", **values):
    """Store a user with a token; return the pk of both and the headers of a request with it."""
    secret = token_format.generate()
    with Session(connection, expire_on_commit=False) as session:
        user = User(email=f"{secret.lower()}@alchemist.example", full_name="Somebody", role=role)
        session.add(user)
        session.flush()
        token = Token(
            user_id=user.pk,
            label="Till",
            digest=token_format.digest(secret),
            **{"expires_at": FOREVER} | values,
        )
        session.add(token)
        session.commit()
    return user.pk, token.pk, bearer(secret)


@pytest.fixture
def other(fresh_database):
    """An engine of somebody who does as they like in the database of this test."""
    engine = create_engine(fresh_database)
    yield engine
    engine.dispose()


def await_waiting(stored, many=1):
    deadline = monotonic() + 5
    while stored.scalar(WAITING) < many:
        assert monotonic() < deadline
        sleep(0.005)


# The note of the last use


def test_a_locked_token_neither_delays_nor_fails_a_request(make_committing_app, stored, other):
    client = make_committing_app().test_client()
    _, pk, headers = sign_up(stored)
    with other.begin() as connection:
        connection.execute(text("SELECT 1 FROM tokens WHERE pk = :pk FOR UPDATE"), {"pk": pk})
        began = monotonic()
        assert client.get("/api/v2/me", headers=headers).status_code == 200
        assert monotonic() - began < 0.5
    assert stored.scalar(text("SELECT last_used_at FROM tokens")) is None


def test_a_use_is_noted_when_nothing_is_in_the_way(make_committing_app, stored):
    client = make_committing_app().test_client()
    _, _, headers = sign_up(stored)
    assert client.get("/api/v2/me", headers=headers).status_code == 200
    assert stored.scalar(text("SELECT last_used_at FROM tokens")) is not None


def test_a_use_that_cannot_be_noted_fails_nothing(make_committing_app, stored):
    client = make_committing_app().test_client()
    _, _, headers = sign_up(stored)
    stored.execute(text("CREATE RULE deny AS ON UPDATE TO tokens DO INSTEAD SELECT 1 / 0"))
    assert client.get("/api/v2/me", headers=headers).status_code == 200


def test_first_uses_at_the_same_time_are_noted_once(make_committing_app, stored, monkeypatch):
    """Each of two requests has read that the token was never used before either has noted it."""
    app = make_committing_app()
    _, _, headers = sign_up(stored)
    stored.execute(
        text(
            "CREATE TABLE noted (at timestamptz);"
            "CREATE RULE count AS ON UPDATE TO tokens DO ALSO INSERT INTO noted VALUES (now())"
        )
    )
    both, turn, touch = Barrier(2), Lock(), auth._update_last_used

    def touch_after_both_have_read(token_id):
        both.wait(5)
        with turn:
            touch(token_id)

    monkeypatch.setattr(auth, "_update_last_used", touch_after_both_have_read)
    with ThreadPoolExecutor(2) as pool:
        ask = lambda _: app.test_client().get("/api/v2/me", headers=headers).status_code  # noqa: E731
        assert list(pool.map(ask, range(2))) == [200, 200]
    assert stored.scalar(text("SELECT count(*) FROM noted")) == 1


# What changes hands at the same time


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/anonymise", 200), ("DELETE", "", 204)]
)
def test_a_token_that_is_revoked_meanwhile_is_no_obstacle(
    make_committing_app, stored, other, method, path, status
):
    client = make_committing_app().test_client()
    pk, token, _ = sign_up(stored)
    headers = sign_up(stored, "admin")[2] | {"If-Match": "*"}
    revoked = text("UPDATE tokens SET revoked_at = now(), version = version + 1 WHERE pk = :pk")
    with ThreadPoolExecutor(1) as pool, other.begin() as connection:
        connection.execute(revoked, {"pk": token})
        url = f"/api/v2/users/{pk}{path}"
        answer = pool.submit(client.open, url, method=method, headers=headers)
        await_waiting(stored)
        connection.commit()
        assert answer.result().status_code == status, answer.result().text


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_who_owns_a_store_no_longer_by_the_time_changes_nothing(
    make_committing_app, stored, other, method, version
):
    client = make_committing_app().test_client()
    owner, _, headers = sign_up(stored, "merchant")
    heir, _, _ = sign_up(stored, "merchant")
    store = {"name": "S", "currency": "EUR", "owner_id": str(owner)}
    store |= dict.fromkeys(("street", "zipcode", "city", "country"), "S")
    store_id = client.post("/api/v2/stores", json=store, headers=headers).json["pk"]
    product = {"store_id": store_id, "name": "P", "price": "10.00"}
    pk = client.post("/api/v2/products", json=product, headers=headers).json["pk"]
    with ThreadPoolExecutor(1) as pool, other.connect() as connection:
        connection.execute(text("SELECT FROM products FOR UPDATE"))
        asked = {"json": {"name": "Q"}, "headers": headers | {"If-Match": "*"}}
        url = f"/api/{version}/products/{pk}"
        answer = pool.submit(client.open, url, method=method, **asked)
        await_waiting(stored)
        stored.execute(text("UPDATE stores SET owner_id = :pk"), {"pk": heir})
        connection.commit()
        assert answer.result().status_code == 404, answer.result().text
    assert stored.scalar(text("SELECT name FROM products")) == "P"


# Connections that were lost


def test_a_token_is_checked_although_every_connection_was_lost(make_committing_app, stored):
    client = make_committing_app().test_client()
    _, _, headers = sign_up(stored)
    assert client.get("/api/v2/me", headers=headers).status_code == 200
    auth._token_cache.clear()
    assert stored.scalar(KILL) > 0
    assert client.get("/api/v2/me", headers=headers).status_code == 200


def test_a_read_without_a_token_outlives_the_same(make_committing_app, stored):
    client = make_committing_app().test_client()
    assert client.get("/api/v2/heroes").status_code == 200
    assert stored.scalar(KILL) > 0
    assert client.get("/api/v2/heroes").status_code == 200


# Revoked while a request with the token waits


@pytest.fixture
def while_waiting(make_committing_app, stored, other):
    """Return what sends a request that waits for a user while a statement about them runs."""
    app = make_committing_app()

    def call(user, statement, ask):
        with ThreadPoolExecutor(1) as pool, other.connect() as connection:
            connection.execute(LOCKED, {"pk": user})
            answer = pool.submit(ask, app.test_client())
            await_waiting(stored)
            connection.execute(text(statement), {"pk": user})
            connection.commit()
            return answer.result(10)

    return call


def make_token_of(user, headers):
    url = f"/api/v2/users/{user}/tokens"
    return lambda client: client.post(url, json={"label": "Successor"}, headers=headers)


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE tokens SET revoked_at = clock_timestamp() WHERE user_id = :pk",
        "UPDATE tokens SET expires_at = clock_timestamp() WHERE user_id = :pk",
    ],
)
def test_a_revoked_token_leaves_no_successor(while_waiting, stored, end):
    """A request to make a token that was let in, and waits while its own token ends."""
    user, _, headers = sign_up(stored)
    answer = while_waiting(user, end, make_token_of(user, headers))
    assert answer.status_code == 401, answer.text
    live = text("SELECT count(*) FROM tokens WHERE revoked_at IS NULL AND expires_at > now()")
    assert stored.scalar(live) == 0


def test_anonymising_leaves_no_token_that_was_made_at_the_same_time(
    make_committing_app, stored, other
):
    app = make_committing_app(lock_timeout=5)
    user, _, headers = sign_up(stored)
    _, _, admin = sign_up(stored, "admin")
    url = f"/api/v2/users/{user}/anonymise"
    with ThreadPoolExecutor(2) as pool, other.connect() as connection:
        connection.execute(LOCKED, {"pk": user})
        anonymised = pool.submit(app.test_client().post, url, headers=admin)
        await_waiting(stored)
        made = pool.submit(make_token_of(user, headers), app.test_client())
        await_waiting(stored, 2)
        connection.commit()
        assert anonymised.result(10).status_code == 200
        made.result(10)
    live = text("SELECT count(*) FROM tokens WHERE user_id = :pk AND revoked_at IS NULL")
    assert stored.scalar(live, {"pk": user}) == 0


def test_a_token_for_a_user_who_is_being_deleted_is_refused(while_waiting, stored):
    user, _, _ = sign_up(stored)
    _, _, admin = sign_up(stored, "admin")
    delete = "DELETE FROM users WHERE pk = :pk"
    assert while_waiting(user, delete, make_token_of(user, admin)).status_code == 404


def test_a_token_is_measured_by_the_role_that_its_user_has_in_the_end(while_waiting, stored):
    """Its caller may make it of a customer, and not of the admin that the customer has become."""
    user, _, _ = sign_up(stored)
    held = [*sorted(CUSTOMER), "tokens:write:any"]
    _, _, narrowed = sign_up(stored, "admin", permissions=held)
    promote = "UPDATE users SET role = 'admin' WHERE pk = :pk"
    assert while_waiting(user, promote, make_token_of(user, narrowed)).status_code == 403


# Processes that trust each other


def test_what_another_origin_revokes_is_refused_within_a_second(make_committing_app, stored):
    client = make_committing_app().test_client()
    _, pk, headers = sign_up(stored)
    assert client.get("/api/v2/me", headers=headers).status_code == 200
    stored.execute(
        text("UPDATE tokens SET revoked_at = clock_timestamp() WHERE pk = :pk"), {"pk": pk}
    )
    revoked = monotonic()
    began = monotonic()
    while client.get("/api/v2/me", headers=headers).status_code == 200:
        assert began - revoked < 1
        sleep(0.01)
        began = monotonic()


class PollingClients:
    """Kept-alive connections that repeat one GET and store when it was sent and its status."""

    def __init__(self, port, path, headers):
        self.port, self.path, self.headers = port, path, headers
        self.seen, self.over = [], Event()

    def __enter__(self):
        self.pool = ThreadPoolExecutor(CONNECTIONS)
        self.runs = [self.pool.submit(self._run) for _ in range(CONNECTIONS)]
        return self

    def __exit__(self, *_):
        self.over.set()
        self.pool.shutdown()
        for run in self.runs:
            run.result()

    def _run(self):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.over.is_set():
            began = monotonic()
            connection.request("GET", self.path, headers=self.headers)
            answer = connection.getresponse()
            answer.read()
            self.seen.append((began, monotonic(), answer.status))
        connection.close()

    def before(self, instant):
        """Return the statuses of what was answered before."""
        return {status for _, answered, status in self.seen if answered < instant}

    def after(self, instant):
        """Return the statuses of what was asked after."""
        return {status for began, _, status in self.seen if began >= instant}


ENDS = {
    "revoked": ("DELETE", "/api/v2/users/{user}/tokens/{token}", None, "/api/v2/me", 204, 401),
    "demoted": ("PATCH", "/api/v2/users/{user}", {"role": "customer"}, "/api/v2/audit", 200, 403),
    "anonymised": ("POST", "/api/v2/users/{user}/anonymise", None, "/api/v2/me", 200, 401),
    "deleted": ("DELETE", "/api/v2/users/{user}", None, "/api/v2/me", 204, 401),
}


@pytest.mark.parametrize("end", ENDS)
def test_no_worker_accepts_what_ended_before_the_request_began(gunicorn_with_auth, stored, end):
    gunicorn = gunicorn_with_auth
    method, path, body, asked, done, refused = ENDS[end]
    user, token, headers = sign_up(stored, "admin")
    _, _, admin = sign_up(stored, "admin")
    sent = admin | {"If-Match": "*", "Content-Type": "application/json"}
    if method == "POST":
        del sent["Content-Type"]
    with PollingClients(gunicorn.port, asked, headers) as clients:
        sleep(0.7)
        url = path.format(user=user, token=token)
        asked_for = monotonic()
        answer = gunicorn.request(method, url, body and json.dumps(body), **sent)
        ended = monotonic()
        sleep(0.8)
    assert answer.status == done, answer.body
    assert clients.before(asked_for) == {200}
    assert clients.after(ended) == {refused}
    assert len(clients.seen) > 2 * CONNECTIONS


def test_no_secret_is_in_the_log_of_a_server_or_in_its_database(fresh_database, stored, tmp_path):
    _, _, headers = sign_up(stored, "admin")
    secret = headers["Authorization"].removeprefix("Bearer ")
    sent = headers | {"Content-Type": "application/json", "Idempotency-Key": "one"}
    with Gunicorn(
        fresh_database, tmp_path, ALCHEMIST_LOG_LEVEL="debug", ALCHEMIST_OPEN_ACCESS="false"
    ) as server:
        user = json.loads(server.request("GET", "/api/v2/me", **headers).body)["user"]["pk"]
        body = json.dumps({"nickname": "Thistle"})
        assert server.request("POST", "/api/v2/heroes", body, **sent).status == 201
        made = server.request(
            "POST",
            f"/api/v2/users/{user}/tokens",
            json.dumps({"label": "New"}),
            **headers | {"Content-Type": "application/json"},
        )
        new = json.loads(made.body)["token"]
        assert server.request("GET", "/api/v2/me", **bearer(new)).status == 200
        assert server.request("GET", "/api/v2/me", **bearer(new[:-1])).status == 401
        assert server.request("GET", f"/api/v2/me?token={new}", **bearer(new)).status == 422
        stored.execute(text("ALTER TABLE tokens RENAME TO gone"))
        sleep(auth.TOKEN_CACHE_TTL)
        assert server.request("GET", "/api/v2/me", **headers).status >= 500
        stored.execute(text("ALTER TABLE gone RENAME TO tokens"))
    log, rows = server.log.read_text(), database_dump.of(stored)
    assert "Thistle" in rows
    assert "Booting worker" in log
    for random in (secret[4:34], new[4:34]):
        assert random not in rows
        assert random not in log
