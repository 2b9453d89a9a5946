"""Token caches of several processes, and the logs of a real server."""

import json
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from threading import Event
from time import monotonic, sleep

import pytest
from sqlalchemy import text

from alchemist.domains.users import auth
from tests.domains.users import database_dump
from tests.domains.users.tokens import insert_user_with_token
from tests.factories import bearer
from tests.servers import TIMEOUT, Gunicorn

pytestmark = pytest.mark.slow
CONNECTIONS = 40


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
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
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
    "suspended": ("POST", "/api/v2/users/{user}/suspend", None, "/api/v2/me", 200, 403),
    "revoked with all": (
        *("POST", "/api/v2/users/{user}/tokens/revoke", None),
        *("/api/v2/me", 200, 401),
    ),
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


@pytest.mark.parametrize("ending", ["revoked", "demoted"])
def test_another_node_follows_within_a_second(
    fresh_database, gunicorn_with_auth, db_connection, tmp_path, ending
):
    method, path, body, polled_path, status, rejected_status = ENDINGS[ending]
    user, token, headers = insert_user_with_token(db_connection, "admin")
    _, _, admin_headers = insert_user_with_token(db_connection, "admin")
    request_headers = admin_headers | {"If-Match": "*", "Content-Type": "application/json"}
    (tmp_path / "other").mkdir()
    with (
        Gunicorn(fresh_database, tmp_path / "other", ALCHEMIST_OPEN_ACCESS="false") as other,
        PollingClients(other.port, polled_path, headers) as clients,
    ):
        sleep(0.7)
        url = path.format(user=user, token=token)
        started = monotonic()
        answer = gunicorn_with_auth.request(
            method, url, body and json.dumps(body), **request_headers
        )
        ended = monotonic()
        sleep(auth.TOKEN_CACHE_TTL + 0.5)
    assert answer.status == status, answer.body
    assert clients.before(started) == {200}
    assert clients.after(ended + auth.TOKEN_CACHE_TTL) == {rejected_status}


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
