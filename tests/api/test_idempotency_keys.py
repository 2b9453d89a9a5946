"""The state of an idempotency key, for a client that has lost an answer."""

from contextlib import contextmanager
from threading import Event, Thread
from urllib.parse import quote

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.domains.ingredients import service
from tests.factories import make_user, sign_in

INGREDIENTS = "/api/v2/ingredients"
KEYS = "/api/v2/idempotency-keys"


def get_state(client, key, **kwargs):
    """Ask as a server does, with the path as it was sent."""
    raw = f"{KEYS}/{quote(key, safe='')}"
    environ = {"PATH_INFO": f"{KEYS}/{key}", "RAW_URI": raw, "REQUEST_URI": raw}
    return client.get("/", environ_overrides=environ, **kwargs)


def create(client, key, **kwargs):
    headers = {"Idempotency-Key": key} | kwargs.pop("headers", {})
    return client.post(INGREDIENTS, json={"name": "Rue"}, headers=headers, **kwargs)


def test_an_answered_request_is_done(client):
    created = create(client, "one")
    response = get_state(client, "one")
    assert response.status_code == 200
    state = response.json
    created_at, expires_at = state.pop("created_at"), state.pop("expires_at")
    assert state == {
        "key": "one",
        "state": "done",
        "method": "POST",
        "path": INGREDIENTS,
        "status": 201,
        "location": created.location,
    }
    assert created_at[:8] <= expires_at[:8]
    assert created_at[11:] == expires_at[11:]
    assert created_at != expires_at
    assert response.headers["Cache-Control"] == "no-store"


def test_an_answer_that_was_a_conflict_is_done_too(client):
    user = {"email": "ada@example.org", "full_name": "Ada"}
    client.post("/api/v2/users", json=user)
    client.post("/api/v2/users", json=user, headers={"Idempotency-Key": "two"})
    state = get_state(client, "two").json
    assert (state["status"], state["location"]) == (409, None)


@pytest.mark.parametrize("key", ["unknown", "x" * 256, "ä", " ", ""])
def test_a_key_that_was_not_used_or_is_ill_formed_is_404(client, key):
    assert get_state(client, key).status_code == 404


def test_a_rejected_request_leaves_no_key(client):
    client.post(INGREDIENTS, json={"name": ""}, headers={"Idempotency-Key": "bad"})
    assert get_state(client, "bad").status_code == 404


def test_a_dry_run_leaves_no_key(client):
    create(client, "dry", query_string="dry_run=true")
    assert get_state(client, "dry").status_code == 404


@pytest.mark.parametrize(
    "key", ["a/b", "/", "/a//b/", "100%", "%2F", "a?b#c", "".join(map(chr, range(0x21, 0x7F)))]
)
def test_a_key_may_have_any_visible_character(client, key):
    assert create(client, key).status_code == 201
    response = get_state(client, key)
    assert (response.status_code, response.json["key"]) == (200, key)


@pytest.mark.parametrize(
    "path", ["/api/v2%2Fidempotency-keys/one", "//api/v2/idempotency-keys/one"]
)
def test_a_slash_before_the_key_is_not_encoded(client, path):
    create(client, "one")
    environ = {"PATH_INFO": path.replace("%2F", "/"), "RAW_URI": path}
    assert client.get("/", environ_overrides=environ).status_code == 404


def test_a_key_is_forgotten_after_a_day(client):
    create(client, "new")
    # Renamed: the transaction of this test still has the lock of the other.
    for key, hours in (("young", 23), ("old", 25)):
        db.session.execute(
            text(
                "UPDATE idempotency_keys"
                " SET key = :key, created_at = now() - :hours * interval '1h'"
            ),
            {"key": key, "hours": hours},
        )
        db.session.commit()
        assert (get_state(client, key).status_code == 200) == (key == "young")


def test_keys_are_private_to_the_caller(client_with_auth):
    owner, stranger = (sign_in(make_user(role="admin")) for _ in range(2))
    create(client_with_auth, "mine", headers=owner)
    assert get_state(client_with_auth, "mine", headers=owner).status_code == 200
    assert get_state(client_with_auth, "mine", headers=stranger).status_code == 404
    assert get_state(client_with_auth, "mine").status_code == 401


def test_it_takes_no_parameters(client):
    create(client, "one")
    assert client.get(f"{KEYS}/one?limit=1").status_code == 422


def test_a_row_of_a_former_version_has_neither_method_nor_path(client):
    create(client, "one")
    db.session.execute(text("UPDATE idempotency_keys SET method = NULL, path = NULL"))
    db.session.commit()
    state = get_state(client, "one").json
    assert (state["method"], state["path"], state["status"]) == (None, None, 201)


@pytest.fixture
def committing_app(make_committing_app):
    return make_committing_app()


@contextmanager
def running_request(app, monkeypatch, key):
    """Run a creation, which waits in its view until the block ends."""
    started, may_end = Event(), Event()
    create_ingredient = service.create

    def wait(**values):
        started.set()
        may_end.wait(10)
        return create_ingredient(**values)

    with monkeypatch.context() as patch:
        patch.setattr(service, "create", wait)
        thread = Thread(target=create, args=(app.test_client(), key))
        thread.start()
        assert started.wait(10)
        yield
        may_end.set()
        thread.join()


def test_a_running_request_is_in_progress(committing_app, monkeypatch):
    client = committing_app.test_client()
    for key in ("one", "a/b"):
        with running_request(committing_app, monkeypatch, key):
            state = get_state(client, key).json
            assert get_state(client, "another").status_code == 404
        assert state == {"key": key, "state": "in-progress"} | dict.fromkeys(
            ("method", "path", "status", "location", "created_at", "expires_at")
        )
        assert get_state(client, key).json["state"] == "done"


def test_asking_does_not_disturb_a_request_that_begins(committing_app, monkeypatch):
    """A lock that the question took would make the request fail with 409."""
    client = committing_app.test_client()
    with running_request(committing_app, monkeypatch, "one"):
        for _ in range(3):
            assert get_state(client, "one").json["state"] == "in-progress"
            assert create(client, "one").json["code"] == "request-in-progress"
