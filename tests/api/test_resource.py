"""A request and its one transaction: repeated after contention, undone after any failure."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from alchemist.api import etags
from alchemist.database.deadline_connections import DeadlineExceeded
from alchemist.domains.ingredients import service
from alchemist.domains.ingredients.models import Ingredient
from tests.concurrency import await_a_waiter, await_waiting
from tests.factories import make_ingredient, make_potion
from tests.servers import TIMEOUT

URL = "/api/v2/ingredients"
ANY = {"If-Match": "*"}

# Counts its calls in a sequence, which no rollback takes back.
FAILING = """
    CREATE SEQUENCE calls;
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('calls') <= {times} THEN
            RAISE EXCEPTION USING ERRCODE = '{state}', MESSAGE = 'secret detail';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER fail BEFORE INSERT ON ingredients FOR EACH ROW EXECUTE FUNCTION fail();
"""

# A creation with a key runs in the session, which the tests break.
KEY = {"Idempotency-Key": "a"}


@pytest.fixture
def client(make_committing_app):
    """The caller of an app that commits for real."""
    return make_committing_app().test_client()


@pytest.fixture
def other(fresh_database):
    """Another user's connection to the same database."""
    with create_engine(fresh_database, poolclass=NullPool).connect() as connection:
        yield connection


@pytest.fixture
def failing(other):
    """Make the next inserts of ingredients fail, so many times, with an sqlstate."""

    def install(times, state):
        other.execute(text(FAILING.format(times=times, state=state)))
        other.commit()

    return install


def calls(connection):
    return connection.execute(text("SELECT last_value FROM calls")).scalar_one()


def names(connection):
    return connection.execute(text("SELECT name FROM ingredients ORDER BY name")).scalars().all()


def terminate_others(connection):
    """End every other connection to this database, as a failover would."""
    pids = connection.execute(
        text(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    ).scalars()
    assert all(pids.all())
    connection.commit()


def committed(make, *args, **values):
    row = make(*args, **values)
    db.session.commit()
    db.session.remove()
    return row


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_contention_is_repeated_until_it_has_passed(client, other, failing, state):
    failing(3, state)
    assert client.post(URL, json={"name": "Mandrake"}).status_code == 201
    assert calls(other) == 4
    assert names(other) == ["Mandrake"]


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_contention_that_stays_is_503(client, other, failing, state):
    failing(1000, state)
    answer = client.post(URL, json={"name": "Mandrake"})
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert 3 <= calls(other) <= 10
    assert names(other) == []


@pytest.mark.parametrize("state", ["55P03", "57014", "53300"])
def test_a_transient_error_is_503_and_not_retried(client, other, failing, state):
    failing(1000, state)
    answer = client.post(URL, json={"name": "Mandrake"})
    assert (answer.status_code, "secret" in answer.text) == (503, False)
    assert "Retry-After" in answer.headers
    assert calls(other) == 1


def test_a_defect_in_the_database_is_500_without_a_word_of_it(client, other, failing):
    failing(1000, "XX000")
    answer = client.post(URL, json={"name": "Mandrake"})
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert calls(other) == 1


def test_a_real_deadlock_is_repeated_and_succeeds(client, other, fresh_database):
    """The request closes the cycle, and the other transaction never looks for deadlocks.

    So PostgreSQL aborts the transaction of the request, however slow the machine is.
    """
    ingredient = committed(make_ingredient)
    potion = committed(make_potion)
    url, change = f"/api/v2/potions/{potion.pk}", {"ingredients": [str(ingredient.pk)]}
    take = "SELECT FROM {} WHERE {} = '{}' FOR UPDATE"
    other.execute(text("SET deadlock_timeout = '1h'"))
    other.execute(text(take.format("ingredients", "pk", ingredient.pk)))
    engine = create_engine(fresh_database, poolclass=NullPool)
    with ThreadPoolExecutor(2) as pool, engine.connect() as obstacle:
        # The request locks the potion, and then waits for its lines.
        obstacle.execute(text(take.format("potion_ingredients", "potion_id", potion.pk)))
        answer = pool.submit(client.patch, url, json=change, headers=ANY)
        await_a_waiter(obstacle)
        pid = other.scalar(text("SELECT pg_backend_pid()"))
        locked = pool.submit(other.execute, text(take.format("potions", "pk", potion.pk)))
        await_waiting(obstacle, pid)
        # Now the request waits for the ingredient. Only its end gives the potion to the other.
        obstacle.commit()
        locked.result(TIMEOUT)
        other.commit()
        assert answer.result(TIMEOUT).status_code == 200
    assert [line["pk"] for line in client.get(url).json["ingredients"]] == change["ingredients"]


def test_a_real_serialization_failure_is_repeated_and_succeeds(
    make_committing_app, fresh_database, other
):
    """Under REPEATABLE READ, whoever waited for a row that changed must begin anew."""
    admin = create_engine(fresh_database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        setting = "SET default_transaction_isolation = 'repeatable read'"
        connection.execute(text(f'ALTER DATABASE "{fresh_database.database}" {setting}'))
    client = make_committing_app().test_client()
    row = committed(make_ingredient, name="Mandrake")
    other.execute(text("UPDATE ingredients SET description = 'Screams.', version = version + 1"))
    with ThreadPoolExecutor(1) as pool:
        change = {"json": {"name": "Root"}, "headers": ANY}
        answer = pool.submit(client.patch, f"{URL}/{row.pk}", **change)
        await_a_waiter(other)
        other.commit()
        changed = answer.result(TIMEOUT).json
    assert (changed["name"], changed["description"]) == ("Root", "Screams.")


def test_a_row_that_stays_locked_is_503(make_committing_app, other):
    client = make_committing_app(lock_timeout=0.05).test_client()
    row = committed(make_ingredient)
    other.execute(text("SELECT pk FROM ingredients FOR UPDATE"))
    answer = client.patch(f"{URL}/{row.pk}", json={"name": "a"}, headers=ANY)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert "Retry-After" in answer.headers


def test_dead_connections_cost_no_request(client, other):
    row = committed(make_ingredient)
    url = f"{URL}/{row.pk}"
    requests = [
        lambda: client.get(url),
        lambda: client.get(URL),
        lambda: client.post(URL, json={"name": "Mandrake"}),
        lambda: client.patch(url, json={"name": "Sage"}, headers=ANY),
        lambda: client.delete(url, headers=ANY),
    ]
    assert [request().status_code for request in requests[:4]] == [200, 200, 201, 200]
    seen = []
    for request in requests:
        client.get(URL)
        client.post(URL, json={"name": "Mandrake"})
        terminate_others(other)
        seen.append(request().status_code)
    assert seen == [200, 200, 201, 200, 204]


def test_referring_rows_are_reported_although_every_connection_is_dead(client, other):
    ingredient = committed(make_ingredient)
    potion = committed(make_potion, ingredient)
    assert client.get(f"{URL}/{ingredient.pk}").status_code == 200
    terminate_others(other)
    refused = client.delete(f"{URL}/{ingredient.pk}", headers=ANY)
    assert (refused.status_code, refused.json["code"]) == (409, "in-use")
    assert str(potion.pk) in refused.json["errors"][0]["detail"]


def test_a_delete_of_a_referenced_row_is_409_even_without_examples(client, monkeypatch):
    ingredient = committed(make_ingredient)
    committed(make_potion, ingredient)

    def fail(*_args):
        raise DeadlineExceeded

    monkeypatch.setattr(db, "fetch_autocommit", fail)
    refused = client.delete(f"{URL}/{ingredient.pk}", headers=ANY)
    assert (refused.status_code, refused.json["code"]) == (409, "in-use")


def test_a_dead_connection_does_not_make_the_service_unready(client, other):
    assert client.get("/readyz").status_code == 200
    terminate_others(other)
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("failure", [ZeroDivisionError("secret"), ValueError("secret")])
def test_whatever_is_raised_rolls_back(client, other, monkeypatch, failure):
    def create_and_fail(**values):
        db.insert(Ingredient(**values))
        raise failure

    monkeypatch.setattr(service, "create", create_and_fail)
    answer = client.post(URL, json={"name": "Mandrake"}, headers=KEY)
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert names(other) == []
    monkeypatch.undo()
    assert client.post(URL, json={"name": "Sage"}).status_code == 201
    assert names(other) == ["Sage"]


def test_an_error_rolls_back_what_was_written(client, other, monkeypatch):
    def change_and_refuse(row, changes):
        db.update(row, changes)
        db.session.execute(
            text("INSERT INTO ingredients (pk, name) SELECT pk, 'x' FROM ingredients")
        )

    row = committed(make_ingredient, name="Mandrake")
    monkeypatch.setattr(db, "update_with_children", change_and_refuse)
    answer = client.patch(f"{URL}/{row.pk}", json={"name": "Sage"}, headers=ANY)
    assert answer.status_code == 409
    assert names(other) == ["Mandrake"]


def test_a_commit_that_fails_is_an_ordinary_error(client, other):
    """A deferred trigger speaks up at COMMIT, when the view is long done."""
    install = FAILING.format(times=1000, state="23514").replace(
        "CREATE TRIGGER fail BEFORE INSERT ON ingredients",
        "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON ingredients DEFERRABLE INITIALLY DEFERRED",
    )
    other.execute(text(install))
    other.commit()
    answer = client.post(URL, json={"name": "Mandrake"})
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert "Location" not in answer.headers
    assert names(other) == []


def test_a_read_holds_no_transaction_even_while_it_lasts(make_committing_app):
    app = make_committing_app()
    with app.app_context():
        db.fetch_autocommit(text("SELECT 1"))
    connection = app.extensions["engines"].autocommit.raw_connection()
    assert connection.cursor().execute("SELECT 1").fetchall() == [(1,)]
    assert connection.dbapi_connection.info.transaction_status is TransactionStatus.IDLE
    connection.close()


def test_an_error_whose_connection_dies_stays_the_same_error(client, other, monkeypatch):
    """Closing the session fails then, after the response is made."""
    row = committed(make_ingredient)
    require_match = etags.require_match

    def terminate_and_check(*arguments):
        terminate_others(other)
        require_match(*arguments)

    monkeypatch.setattr(etags, "require_match", terminate_and_check)
    headers = {"If-Match": '"another"'}
    answer = client.patch(f"{URL}/{row.pk}", json={"name": "Sage"}, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (412, "precondition-failed")
    assert client.get(f"{URL}/{row.pk}").status_code == 200
