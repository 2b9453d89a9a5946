"""The filters `pk` and `updated_after`, and the sort `updated_at`, of every list."""

from datetime import UTC, datetime, timedelta

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.coupons.models import Redemption
from tests.factories import (
    make_coupon,
    make_ingredient,
)
from tests.resources import FACTORIES

NOON = datetime(2099, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def make_row(request, client):
    """Return a function that makes a row of the list, last changed some hours after noon."""

    def call(hours):
        row = FACTORIES[request.param]()
        return str(db.update(row, {"updated_at": NOON + timedelta(hours=hours)}).pk)

    call.url = f"/api/v2/{request.param}"
    return call


every_list = pytest.mark.parametrize("make_row", FACTORIES, indirect=True)


def list_pks(client, url, **query):
    answer = client.get(url, query_string=query)
    assert answer.status_code == 200, answer.text
    return [row["pk"] for row in answer.json]


def at(hours):
    return (NOON + timedelta(hours=hours)).isoformat()


@every_list
def test_a_list_filters_by_key(client, make_row):
    first, _second, third = (make_row(hours) for hours in (1, 2, 3))
    assert list_pks(client, make_row.url, pk=f"{third},{uuid7()},{first}") == [first, third]
    assert list_pks(client, make_row.url, pk=first, updated_after=at(2)) == []


@every_list
def test_a_list_filters_by_the_time_of_the_last_change(client, make_row):
    late, early, noon = (make_row(hours) for hours in (1, -1, 0))
    assert list_pks(client, make_row.url, updated_after=at(0)) == [late, noon]
    sort = {"updated_after": at(-1), "sort": "updated_at"}
    assert list_pks(client, make_row.url, **sort) == [early, noon, late]


@every_list
def test_a_list_is_walked_by_the_time_of_the_last_change(client, make_row):
    made = [make_row(hours) for hours in (2, 0, 1, 1)]
    query = {"sort": "-updated_at", "limit": 2, "updated_after": at(0), "count": "exact"}
    first = client.get(make_row.url, query_string=query)
    assert first.headers["X-Total-Count"] == "4"
    second = client.get(first.headers["Link"].split("<")[-1].partition(">")[0])
    walked = [row["pk"] for row in (*first.json, *second.json)]
    assert walked == [made[0], made[3], made[2], made[1]]


def test_redemptions_filter_by_key_and_time(client):
    coupon = make_coupon()
    url = f"/api/v2/coupons/{coupon.pk}/redemptions"
    pks = [client.post(url).json["pk"] for _ in range(2)]
    db.update(db.session.get(Redemption, pks[1]), {"updated_at": NOON})
    assert list_pks(client, url, pk=pks[0]) == [pks[0]]
    assert list_pks(client, url, updated_after=at(0)) == [pks[1]]
    assert list_pks(client, url, sort="-updated_at") == pks[::-1]


@pytest.mark.parametrize("query", ["pk=", "pk=x", "updated_after=2026-01-01", "updated_after="])
@pytest.mark.parametrize("kind", ["ingredients", "orders"])
def test_a_malformed_filter_is_422(client, kind, query):
    assert client.get(f"/api/v2/{kind}?{query}").status_code == 422


def test_a_list_accepts_a_hundred_keys(client):
    pks = [str(uuid7()) for _ in range(101)]
    assert client.get(f"/api/v2/ingredients?pk={','.join(pks[1:])}").status_code == 200
    assert client.get(f"/api/v2/ingredients?pk={','.join(pks)}").status_code == 422


def test_a_cursor_belongs_to_the_keys_of_its_list(client):
    pks = [str(make_ingredient().pk) for _ in range(3)]
    page = client.get(f"/api/v2/ingredients?limit=1&pk={','.join(pks)}")
    next_url = page.headers["Link"].split("<")[-1].partition(">")[0]
    assert client.get(next_url).json[0]["pk"] == pks[1]
    assert client.get(next_url.replace(pks[2], str(uuid7()))).status_code == 400
