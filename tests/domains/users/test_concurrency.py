"""Tokens and concurrent transactions: locks, revocations and lost connections."""

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
EXPIRES_AT = "2099-01-01T00:00:00Z"
TERMINATE_CONNECTIONS = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
LOCK_USER = text("SELECT pk FROM users WHERE pk = :pk FOR UPDATE")
COUNT_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)

pytestmark = pytest.mark.slow


def insert_user_with_token(connection, role="customer", **values):
    """Insert a user with a token; return both primary keys and the headers of a request."""
    secret = token_format.generate()
    with Session(connection, expire_on_commit=False) as session:
        user = User(email=f"{secret.lower()}@alchemist.example", full_name="Somebody", role=role)
        session.add(user)
        session.flush()
        token = Token(
            user_id=user.pk,
            label="Till",
            digest=token_format.digest(secret),
            **{"expires_at": EXPIRES_AT} | values,
        )
        session.add(token)
        session.commit()
    return user.pk, token.pk, bearer(secret)


@pytest.fixture
def other_engine(fresh_database):
    """An engine that the app does not use, for transactions that run at the same time."""
    engine = create_engine(fresh_database)
    yield engine
    engine.dispose()


def wait_until_blocked(db_connection, count=1):
    deadline = monotonic() + 5
    while db_connection.scalar(COUNT_WAITING) < count:
        assert monotonic() < deadline
        sleep(0.005)


# Recording the last use


def test_a_locked_token_does_not_delay_a_request(make_committing_app, db_connection, other_engine):
    client = make_committing_app().test_client()
    _, pk, headers = insert_user_with_token(db_connection)
    with other_engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM tokens WHERE pk = :pk FOR UPDATE"), {"pk": pk})
        started = monotonic()
        assert client.get("/api/v2/me", headers=headers).status_code == 200
        assert monotonic() - started < 0.5
    assert db_connection.scalar(text("SELECT last_used_at FROM tokens")) is None


def test_a_use_of_an_unlocked_token_is_recorded(make_committing_app, db_connection):
    client = make_committing_app().test_client()
    _, _, headers = insert_user_with_token(db_connection)
    assert client.get("/api/v2/me", headers=headers).status_code == 200
    assert db_connection.scalar(text("SELECT last_used_at FROM tokens")) is not None


def test_an_error_while_recording_a_use_is_ignored(make_committing_app, db_connection):
    client = make_committing_app().test_client()
    _, _, headers = insert_user_with_token(db_connection)
    db_connection.execute(text("CREATE RULE deny AS ON UPDATE TO tokens DO INSTEAD SELECT 1 / 0"))
    assert client.get("/api/v2/me", headers=headers).status_code == 200


def test_simultaneous_first_uses_are_recorded_once(make_committing_app, db_connection, monkeypatch):
    """Both requests read that the token was never used before one of them records its use."""
    app = make_committing_app()
    _, _, headers = insert_user_with_token(db_connection)
    db_connection.execute(
        text(
            "CREATE TABLE recorded_uses (at timestamptz);"
            "CREATE RULE count AS ON UPDATE TO tokens"
            " DO ALSO INSERT INTO recorded_uses VALUES (now())"
        )
    )
    barrier, lock, update_last_used = Barrier(2), Lock(), auth._update_last_used

    def update_after_both_have_read(token_id):
        barrier.wait(5)
        with lock:
            update_last_used(token_id)

    monkeypatch.setattr(auth, "_update_last_used", update_after_both_have_read)
    with ThreadPoolExecutor(2) as pool:
        send = lambda _: app.test_client().get("/api/v2/me", headers=headers).status_code  # noqa: E731
        assert list(pool.map(send, range(2))) == [200, 200]
    assert db_connection.scalar(text("SELECT count(*) FROM recorded_uses")) == 1


# Concurrent changes


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/anonymise", 200), ("DELETE", "", 204)]
)
def test_a_concurrent_revocation_does_not_fail_the_request(
    make_committing_app, db_connection, other_engine, method, path, status
):
    client = make_committing_app().test_client()
    pk, token, _ = insert_user_with_token(db_connection)
    headers = insert_user_with_token(db_connection, "admin")[2] | {"If-Match": "*"}
    revoked = text("UPDATE tokens SET revoked_at = now(), version = version + 1 WHERE pk = :pk")
    with ThreadPoolExecutor(1) as pool, other_engine.begin() as connection:
        connection.execute(revoked, {"pk": token})
        url = f"/api/v2/users/{pk}{path}"
        response = pool.submit(client.open, url, method=method, headers=headers)
        wait_until_blocked(db_connection)
        connection.commit()
        assert response.result().status_code == status, response.result().text


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_former_owner_of_the_store_cannot_change_a_product(
    make_committing_app, db_connection, other_engine, method, version
):
    client = make_committing_app().test_client()
    owner, _, headers = insert_user_with_token(db_connection, "merchant")
    new_owner, _, _ = insert_user_with_token(db_connection, "merchant")
    store = {"name": "S", "currency": "EUR", "owner_id": str(owner)}
    store |= dict.fromkeys(("street", "zipcode", "city", "country"), "S")
    store_id = client.post("/api/v2/stores", json=store, headers=headers).json["pk"]
    product = {"store_id": store_id, "name": "P", "price": "10.00"}
    pk = client.post("/api/v2/products", json=product, headers=headers).json["pk"]
    with ThreadPoolExecutor(1) as pool, other_engine.connect() as connection:
        connection.execute(text("SELECT FROM products FOR UPDATE"))
        kwargs = {"json": {"name": "Q"}, "headers": headers | {"If-Match": "*"}}
        url = f"/api/{version}/products/{pk}"
        response = pool.submit(client.open, url, method=method, **kwargs)
        wait_until_blocked(db_connection)
        db_connection.execute(text("UPDATE stores SET owner_id = :pk"), {"pk": new_owner})
        connection.commit()
        assert response.result().status_code == 404, response.result().text
    assert db_connection.scalar(text("SELECT name FROM products")) == "P"


# Lost connections


def test_a_token_is_checked_after_all_connections_were_lost(make_committing_app, db_connection):
    client = make_committing_app().test_client()
    _, _, headers = insert_user_with_token(db_connection)
    assert client.get("/api/v2/me", headers=headers).status_code == 200
    auth._token_cache.clear()
    assert db_connection.scalar(TERMINATE_CONNECTIONS) > 0
    assert client.get("/api/v2/me", headers=headers).status_code == 200


def test_a_public_read_succeeds_after_all_connections_were_lost(make_committing_app, db_connection):
    client = make_committing_app().test_client()
    assert client.get("/api/v2/heroes").status_code == 200
    assert db_connection.scalar(TERMINATE_CONNECTIONS) > 0
    assert client.get("/api/v2/heroes").status_code == 200


# Changes while a request waits for a lock


@pytest.fixture
def execute_while_blocked(make_committing_app, db_connection, other_engine):
    """Return a function that executes a statement while a request waits for a lock on the user."""
    app = make_committing_app()

    def call(user, statement, send):
        with ThreadPoolExecutor(1) as pool, other_engine.connect() as connection:
            connection.execute(LOCK_USER, {"pk": user})
            response = pool.submit(send, app.test_client())
            wait_until_blocked(db_connection)
            connection.execute(text(statement), {"pk": user})
            connection.commit()
            return response.result(10)

    return call


def token_creation(user, headers):
    url = f"/api/v2/users/{user}/tokens"
    return lambda client: client.post(url, json={"label": "New"}, headers=headers)


@pytest.mark.parametrize(
    "ending",
    [
        "UPDATE tokens SET revoked_at = clock_timestamp() WHERE user_id = :pk",
        "UPDATE tokens SET expires_at = clock_timestamp() WHERE user_id = :pk",
    ],
)
def test_a_token_that_ends_while_it_waits_creates_no_token(
    execute_while_blocked, db_connection, ending
):
    """The request was authorized, and its token ends while it waits for the lock."""
    user, _, headers = insert_user_with_token(db_connection)
    response = execute_while_blocked(user, ending, token_creation(user, headers))
    assert response.status_code == 401, response.text
    valid_tokens = text(
        "SELECT count(*) FROM tokens WHERE revoked_at IS NULL AND expires_at > now()"
    )
    assert db_connection.scalar(valid_tokens) == 0


def test_anonymising_revokes_a_token_that_is_created_concurrently(
    make_committing_app, db_connection, other_engine
):
    app = make_committing_app(lock_timeout=5)
    user, _, headers = insert_user_with_token(db_connection)
    _, _, admin_headers = insert_user_with_token(db_connection, "admin")
    url = f"/api/v2/users/{user}/anonymise"
    with ThreadPoolExecutor(2) as pool, other_engine.connect() as connection:
        connection.execute(LOCK_USER, {"pk": user})
        anonymised = pool.submit(app.test_client().post, url, headers=admin_headers)
        wait_until_blocked(db_connection)
        created = pool.submit(token_creation(user, headers), app.test_client())
        wait_until_blocked(db_connection, 2)
        connection.commit()
        assert anonymised.result(10).status_code == 200
        created.result(10)
    valid_tokens = text("SELECT count(*) FROM tokens WHERE user_id = :pk AND revoked_at IS NULL")
    assert db_connection.scalar(valid_tokens, {"pk": user}) == 0


def test_a_token_for_a_user_who_is_deleted_meanwhile_is_404(execute_while_blocked, db_connection):
    user, _, _ = insert_user_with_token(db_connection)
    _, _, admin_headers = insert_user_with_token(db_connection, "admin")
    delete = "DELETE FROM users WHERE pk = :pk"
    assert (
        execute_while_blocked(user, delete, token_creation(user, admin_headers)).status_code == 404
    )


def test_the_role_of_the_user_is_read_after_the_wait(execute_while_blocked, db_connection):
    """The caller may create a token for a customer, but not for the admin they have become."""
    user, _, _ = insert_user_with_token(db_connection)
    granted = [*sorted(CUSTOMER), "tokens:write:any"]
    _, _, scoped_headers = insert_user_with_token(db_connection, "admin", permissions=granted)
    promote = "UPDATE users SET role = 'admin' WHERE pk = :pk"
    assert (
        execute_while_blocked(user, promote, token_creation(user, scoped_headers)).status_code
        == 403
    )


# Caches of several processes


def test_a_revocation_by_another_process_takes_effect_within_a_second(
    make_committing_app, db_connection
):
    client = make_committing_app().test_client()
    _, pk, headers = insert_user_with_token(db_connection)
    assert client.get("/api/v2/me", headers=headers).status_code == 200
    db_connection.execute(
        text("UPDATE tokens SET revoked_at = clock_timestamp() WHERE pk = :pk"), {"pk": pk}
    )
    revoked = sent = monotonic()
    while client.get("/api/v2/me", headers=headers).status_code == 200:
        assert sent - revoked < 1
        sleep(0.01)
        sent = monotonic()


class PollingClients:
    """Kept-alive connections that repeat one GET and store when it was sent and its status."""

    def __init__(self, port, path, headers):
        self.port, self.path, self.headers = port, path, headers
        self.responses, self.stopped = [], Event()

    def __enter__(self):
        self.pool = ThreadPoolExecutor(CONNECTIONS)
        self.futures = [self.pool.submit(self._run) for _ in range(CONNECTIONS)]
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.pool.shutdown()
        for future in self.futures:
            future.result()

    def _run(self):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.stopped.is_set():
            sent = monotonic()
            connection.request("GET", self.path, headers=self.headers)
            response = connection.getresponse()
            response.read()
            self.responses.append((sent, monotonic(), response.status))
        connection.close()

    def before(self, instant):
        """Return the statuses of responses that were received before the instant."""
        return {status for _, received, status in self.responses if received < instant}

    def after(self, instant):
        """Return the statuses of requests that were sent after the instant."""
        return {status for sent, _, status in self.responses if sent >= instant}


ENDINGS = {
    "revoked": ("DELETE", "/api/v2/users/{user}/tokens/{token}", None, "/api/v2/me", 204, 401),
    "demoted": ("PATCH", "/api/v2/users/{user}", {"role": "customer"}, "/api/v2/audit", 200, 403),
    "anonymised": ("POST", "/api/v2/users/{user}/anonymise", None, "/api/v2/me", 200, 401),
    "deleted": ("DELETE", "/api/v2/users/{user}", None, "/api/v2/me", 204, 401),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_revocation_takes_effect_at_once_in_every_worker(
    gunicorn_with_auth, db_connection, ending
):
    gunicorn = gunicorn_with_auth
    method, path, body, polled_path, status, rejected_status = ENDINGS[ending]
    user, token, headers = insert_user_with_token(db_connection, "admin")
    _, _, admin_headers = insert_user_with_token(db_connection, "admin")
    request_headers = admin_headers | {"If-Match": "*", "Content-Type": "application/json"}
    if method == "POST":
        del request_headers["Content-Type"]
    with PollingClients(gunicorn.port, polled_path, headers) as clients:
        sleep(0.7)
        url = path.format(user=user, token=token)
        started = monotonic()
        response = gunicorn.request(method, url, body and json.dumps(body), **request_headers)
        ended = monotonic()
        sleep(0.8)
    assert response.status == status, response.body
    assert clients.before(started) == {200}
    assert clients.after(ended) == {rejected_status}
    assert len(clients.responses) > 2 * CONNECTIONS


def test_no_secret_is_in_the_server_log_or_the_database(fresh_database, db_connection, tmp_path):
    _, _, headers = insert_user_with_token(db_connection, "admin")
    secret = headers["Authorization"].removeprefix("Bearer ")
    json_headers = headers | {"Content-Type": "application/json"}
    with Gunicorn(
        fresh_database, tmp_path, ALCHEMIST_LOG_LEVEL="debug", ALCHEMIST_OPEN_ACCESS="false"
    ) as server:
        user = json.loads(server.request("GET", "/api/v2/me", **headers).body)["user"]["pk"]
        body = json.dumps({"nickname": "Thistle"})
        post_headers = json_headers | {"Idempotency-Key": "one"}
        assert server.request("POST", "/api/v2/heroes", body, **post_headers).status == 201
        created = server.request(
            "POST",
            f"/api/v2/users/{user}/tokens",
            json.dumps({"label": "New"}),
            **json_headers,
        )
        new_secret = json.loads(created.body)["token"]
        assert server.request("GET", "/api/v2/me", **bearer(new_secret)).status == 200
        assert server.request("GET", "/api/v2/me", **bearer(new_secret[:-1])).status == 401
        assert (
            server.request("GET", f"/api/v2/me?token={new_secret}", **bearer(new_secret)).status
            == 422
        )
        db_connection.execute(text("ALTER TABLE tokens RENAME TO renamed"))
        sleep(auth.TOKEN_CACHE_TTL)
        assert server.request("GET", "/api/v2/me", **headers).status >= 500
        db_connection.execute(text("ALTER TABLE renamed RENAME TO tokens"))
    log, rows = server.log.read_text(), database_dump.as_text(db_connection)
    assert "Thistle" in rows
    assert "Booting worker" in log
    for random_part in (secret[4:34], new_secret[4:34]):
        assert random_part not in rows
        assert random_part not in log
