"""The time of the last use of a token."""

import pytest
from sqlalchemy import text

from alchemist import database as db
from alchemist.domains.users import auth, service
from alchemist.domains.users.permissions import ADMIN
from tests.factories import bearer, make_user

ME = "/api/v2/me"


def last_used_at(token):
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
    token, secret = service.issue(make_user(), ADMIN, label="Till")
    assert last_used_at(token) is None
    client_with_auth.get(ME, headers=bearer(secret))
    assert last_used_at(token) is not None


@pytest.mark.parametrize(("minutes", "is_recorded"), [(4.9, False), (5.1, True)])
def test_a_use_is_recorded_every_five_minutes(client_with_auth, token, minutes, is_recorded):
    row, secret = token
    set_last_use(row, minutes)
    before = last_used_at(row)
    client_with_auth.get(ME, headers=bearer(secret))
    assert (last_used_at(row) > before) == is_recorded


def test_a_use_leaves_no_audit_entry(client_with_auth):
    token, secret = service.issue(make_user(), ADMIN, label="Till")
    client_with_auth.get(ME, headers=bearer(secret))
    statement = text("SELECT count(*) FROM audit_log WHERE resource_pk = :pk AND action = 'update'")
    assert db.session.scalar(statement, {"pk": token.pk}) == 0


def test_a_use_does_not_change_updated_at(client_with_auth):
    token, secret = service.issue(make_user(), ADMIN, label="Till")
    statement = text("SELECT updated_at FROM tokens WHERE pk = :pk")
    before = db.session.scalar(statement, {"pk": token.pk})
    client_with_auth.get(ME, headers=bearer(secret))
    assert db.session.scalar(statement, {"pk": token.pk}) == before
