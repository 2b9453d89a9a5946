"""Coupons of the longest period of validity, in databases of several time zones."""

import pytest
from sqlalchemy import NullPool, create_engine, text

from alchemist import database as db
from tests.domains.orders.shop import item
from tests.factories import make_product

FIRST, LAST = "0001-01-01T00:00:00.000000+00:00", "9999-12-31T23:59:59.999999+00:00"


@pytest.fixture(params=["UTC", "Pacific/Kiritimati", "America/New_York"])
def client(request, fresh_database, make_committing_app):
    """A client of an app whose database has another time zone."""
    engine = create_engine(fresh_database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    name = fresh_database.database
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE \"{name}\" SET timezone = '{request.param}'"))
    return make_committing_app().test_client()


def create(client, **period):
    created = client.post("/api/v2/coupons", json={"code": "Always", "init_count": 9} | period)
    assert created.status_code == 201, created.text
    return created


def test_a_coupon_of_the_longest_period_can_be_redeemed_and_updated(client):
    created = create(client, valid_from=FIRST, valid_until=LAST)
    assert (created.json["valid_from"], created.json["valid_until"]) == (FIRST, LAST)
    assert client.post(f"{created.location}/redemptions").status_code == 201
    headers = {"If-Match": "*"}
    changed = client.patch(created.location, json={"percent_off": 5}, headers=headers)
    assert (changed.status_code, changed.json["valid_until"]) == (200, LAST)


def test_an_order_can_redeem_a_coupon_of_the_longest_period(client):
    create(client, valid_from=FIRST, valid_until=LAST)
    order_item = item(make_product())
    db.session.commit()
    answer = client.post("/api/v2/orders", json={"items": [order_item], "coupon_code": "always"})
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("period", [{"valid_from": LAST}, {"valid_until": FIRST}])
def test_the_bound_in_a_rejection_is_in_utc(client, period):
    created = create(client, **period)
    answer = client.post(f"{created.location}/redemptions")
    assert (answer.status_code, answer.json["code"]) == (409, "coupon-not-valid")
    [instant] = period.values()
    assert instant.replace(".000000", "") in answer.json["errors"][0]["detail"]


def test_a_coupon_of_the_longest_period_can_be_deleted(client):
    created = create(client, valid_from=FIRST, valid_until=LAST)
    assert client.delete(created.location, headers={"If-Match": "*"}).status_code == 204
