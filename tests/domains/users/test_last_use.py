"""The time of the last use of a token."""

from time import monotonic, sleep

import pytest
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from alchemist.domains.users import auth, last_use, token_service
from alchemist.domains.users.permissions import ADMIN
from tests.domains.users.tokens import insert_user_with_token
from tests.factories import bearer, make_user
from tests.servers import TIMEOUT

ME = "/api/v2/me"
OPTIONS = {"isolation_level": "AUTOCOMMIT", "poolclass": NullPool}


def last_used_at(token):
    last_use.recorder.flush()
    statement = text("SELECT last_used_at FROM tokens WHERE pk = :pk")
    return db.session.scalar(statement, {"pk": token.pk})


def set_last_use(token, minutes):
    statement = text(
        "UPDATE tokens SET last_used_at = clock_timestamp() - make_interval(secs => :s)"
        " WHERE pk = :pk"
    )
    db.session.execute(statement, {"pk": token.pk, "s": minutes * 60})
    db.session.commit()
    auth._token_cache.clear()


def test_the_first_use_is_recorded(client_with_auth):
    token, secret = token_service.issue_token(make_user(), ADMIN, label="Till")
    assert last_used_at(token) is None
    client_with_auth.get(ME, headers=bearer(secret))
    assert last_used_at(token) is not None


@pytest.mark.parametrize(("minutes", "is_recorded"), [(0.9, False), (1.1, True)])
def test_a_use_is_recorded_every_minute(client_with_auth, token, minutes, is_recorded):
    row, secret = token
    set_last_use(row, minutes)
    before = last_used_at(row)
    client_with_auth.get(ME, headers=bearer(secret))
    assert (last_used_at(row) > before) == is_recorded


def test_a_use_leaves_no_audit_entry(client_with_auth):
    token, secret = token_service.issue_token(make_user(), ADMIN, label="Till")
    client_with_auth.get(ME, headers=bearer(secret))
    last_use.recorder.flush()
    statement = text("SELECT count(*) FROM audit_log WHERE resource_pk = :pk AND action = 'update'")
    assert db.session.scalar(statement, {"pk": token.pk}) == 0


def test_a_use_does_not_change_updated_at(client_with_auth):
    token, secret = token_service.issue_token(make_user(), ADMIN, label="Till")
    statement = text("SELECT updated_at FROM tokens WHERE pk = :pk")
    before = db.session.scalar(statement, {"pk": token.pk})
    client_with_auth.get(ME, headers=bearer(secret))
    assert last_used_at(token) is not None
    assert db.session.scalar(statement, {"pk": token.pk}) == before


def test_no_request_waits_for_the_record_of_a_use(client_with_auth, statements):
    secret = token_service.issue_token(make_user(), ADMIN, label="Till")[1]
    with statements() as executed:
        client_with_auth.get(ME, headers=bearer(secret))
    assert not [each for each in executed if "UPDATE" in each]


def test_the_uses_of_many_tokens_are_one_statement(client_with_auth, statements):
    tokens = [token_service.issue_token(make_user(), ADMIN, label="Till") for _ in range(3)]
    for _, secret in tokens:
        client_with_auth.get(ME, headers=bearer(secret))
    with statements() as executed:
        last_use.recorder.flush()
    assert len(executed) == 1
    assert all(last_used_at(token) for token, _ in tokens)


@pytest.mark.slow
def test_a_running_service_records_uses(gunicorn_with_auth, fresh_database):
    with create_engine(fresh_database, **OPTIONS).connect() as connection:
        _, _, headers = insert_user_with_token(connection)
        assert gunicorn_with_auth.request("GET", ME, **headers).status == 200
        deadline = monotonic() + TIMEOUT
        while connection.scalar(text("SELECT last_used_at FROM tokens")) is None:
            assert monotonic() < deadline
            sleep(0.1)
