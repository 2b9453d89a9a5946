"""Tokens and concurrent transactions: locks, revocations and lost connections."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import monotonic, sleep

import pytest
from sqlalchemy import create_engine, text

from alchemist.domains.users import auth, last_use, service
from alchemist.domains.users.permissions import CUSTOMER
from tests.domains.users.tokens import insert_user_with_token
from tests.servers import TIMEOUT

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


@pytest.fixture
def other_engine(fresh_database):
    """An engine that the app does not use, for transactions that run at the same time."""
    engine = create_engine(fresh_database)
    yield engine
    engine.dispose()


def wait_until_blocked(db_connection, count=1):
    deadline = monotonic() + TIMEOUT
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
        last_use.recorder.flush()
        assert monotonic() - started < 10
    assert db_connection.scalar(text("SELECT last_used_at FROM tokens")) is None


def test_a_use_of_an_unlocked_token_is_recorded(make_committing_app, db_connection):
    client = make_committing_app().test_client()
    _, _, headers = insert_user_with_token(db_connection)
    assert client.get("/api/v2/me", headers=headers).status_code == 200
    last_use.recorder.flush()
    assert db_connection.scalar(text("SELECT last_used_at FROM tokens")) is not None


def test_an_error_while_recording_a_use_is_ignored(make_committing_app, db_connection):
    client = make_committing_app().test_client()
    _, _, headers = insert_user_with_token(db_connection)
    db_connection.execute(text("CREATE RULE deny AS ON UPDATE TO tokens DO INSTEAD SELECT 1 / 0"))
    assert client.get("/api/v2/me", headers=headers).status_code == 200
    last_use.recorder.flush()


def test_a_use_that_another_process_has_recorded_is_not_recorded_again(
    make_committing_app, db_connection
):
    """This process has read that the token was never used before the other one recorded it."""
    client = make_committing_app().test_client()
    _, _, headers = insert_user_with_token(db_connection)
    assert client.get("/api/v2/me", headers=headers).status_code == 200
    recorded = "UPDATE tokens SET last_used_at = clock_timestamp() RETURNING last_used_at"
    by_other = db_connection.scalar(text(recorded))
    last_use.recorder.flush()
    assert db_connection.scalar(text("SELECT last_used_at FROM tokens")) == by_other


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
        assert response.result().status_code == 403, response.result().text
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
            return response.result(TIMEOUT)

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
        assert anonymised.result(TIMEOUT).status_code == 200
        created.result(TIMEOUT)
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


def test_simultaneous_creations_do_not_exceed_the_limit(make_committing_app, db_connection):
    app = make_committing_app()
    user, _, headers = insert_user_with_token(db_connection)
    db_connection.execute(
        text(
            "INSERT INTO tokens (pk, user_id, label, digest, expires_at)"
            " SELECT gen_random_uuid(), :pk, 'Till', n::text, 'infinity'"
            " FROM generate_series(1, 98) AS n"
        ),
        {"pk": user},
    )
    barrier = Barrier(4)

    def create(_number):
        barrier.wait(TIMEOUT)
        return token_creation(user, headers)(app.test_client()).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(4))) == [201, 409, 409, 409]


def test_a_revocation_waits_for_a_token_that_is_being_made_with_a_descendant(
    make_committing_app, db_connection, other_engine
):
    """As `reload_caller_and_lock_token` does, the request that makes it locks its own FOR SHARE."""
    client = make_committing_app().test_client()
    user, maker, _ = insert_user_with_token(db_connection)
    _, child, _ = insert_user_with_token(db_connection, made_with_id=maker)
    _, _, admin_headers = insert_user_with_token(db_connection, "admin")
    url = f"/api/v2/users/{user}/tokens/{maker}"
    with ThreadPoolExecutor(1) as pool, other_engine.connect() as connection:
        connection.execute(text("SELECT FROM tokens WHERE pk = :pk FOR SHARE"), {"pk": child})
        response = pool.submit(client.delete, url, headers=admin_headers)
        wait_until_blocked(db_connection)
        with connection.begin_nested():
            connection.execute(
                text(
                    "INSERT INTO tokens (pk, user_id, made_with_id, label, digest, expires_at)"
                    " VALUES (gen_random_uuid(), :user, :child, 'New', 'new', 'infinity')"
                ),
                {"user": user, "child": child},
            )
        connection.commit()
        assert response.result(TIMEOUT).status_code == 204, response.result().text
    revoked = text("SELECT label FROM tokens WHERE revoked_at IS NOT NULL ORDER BY label")
    assert list(db_connection.scalars(revoked)) == ["New", "Till", "Till"]


def test_one_of_two_admins_who_demote_each_other_stays(
    make_committing_app, db_connection, other_engine
):
    app = make_committing_app(lock_timeout=5)
    (first, _, first_headers), (second, _, second_headers) = [
        insert_user_with_token(db_connection, "admin") for _ in range(2)
    ]

    def demote(pk, headers):
        headers = headers | {"If-Match": "*"}
        url = f"/api/v2/users/{pk}"
        return app.test_client().patch(url, json={"role": "customer"}, headers=headers)

    with ThreadPoolExecutor(2) as pool, other_engine.connect() as connection:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({service.LAST_ADMIN_LOCK})"))
        jobs = [(second, first_headers), (first, second_headers)]
        responses = [pool.submit(demote, *job) for job in jobs]
        wait_until_blocked(db_connection, 2)
        connection.commit()
        statuses = sorted(response.result(TIMEOUT).status_code for response in responses)
    assert statuses == [200, 409]
    admins = text("SELECT count(*) FROM users WHERE role = 'admin'")
    assert db_connection.scalar(admins) == 1
