"""Redeeming a coupon without an order, and the visibility of redemptions."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select

from alchemist import database as db
from alchemist.domains.coupons import service
from alchemist.domains.coupons.models import Redemption
from tests.domains.orders.shop import coupon_mismatches, remaining
from tests.factories import make_coupon, make_order, make_user, sign_in

LATER = datetime.now(UTC) + timedelta(days=1)
EARLIER = datetime.now(UTC) - timedelta(days=1)
FIELDS = {
    *("pk", "coupon_id", "user_id", "order_id", "remaining_count", "released_at"),
    *("created_at", "updated_at"),
}
UNKNOWN_PK = "01935f2e-7c1a-7b3e-9d3c-0123456789ab"


def url(coupon):
    return f"/api/v2/coupons/{coupon.pk}/redemptions"


@pytest.fixture
def redeem(client_with_auth, user_headers):
    """Return a function that redeems a coupon."""

    def call(coupon, headers=user_headers, **kwargs):
        return client_with_auth.post(url(coupon), headers=headers, **kwargs)

    return call


@pytest.fixture
def list_pks(client_with_auth):
    """Return a function that lists the pks of the redemptions that a caller sees."""

    def call(coupon, headers):
        answer = client_with_auth.get(url(coupon), headers=headers)
        assert answer.status_code == 200, answer.text
        return [redemption["pk"] for redemption in answer.json]

    return call


def count_redemptions(coupon):
    rows = select(func.count()).where(Redemption.coupon_id == coupon.pk)
    return db.session.scalar(rows)


def codes(answer):
    assert answer.status_code == 409, answer.text
    return [error["code"] for error in answer.json["errors"]]


def test_a_new_redemption_has_every_field(redeem, user):
    coupon = make_coupon(init_count=10)
    answer = redeem(coupon)
    assert answer.status_code == 201, answer.text
    assert set(answer.json) == FIELDS
    assert answer.json["coupon_id"] == str(coupon.pk)
    assert answer.json["user_id"] == str(user.pk)
    assert answer.json["remaining_count"] == 9
    assert answer.json["order_id"] is answer.json["released_at"] is None


def test_location_is_the_url_of_the_new_redemption(client_with_auth, redeem, user_headers):
    created = redeem(make_coupon())
    fetched = client_with_auth.get(created.location, headers=user_headers)
    assert created.location.endswith(created.json["pk"])
    assert fetched.json == created.json
    assert fetched.headers["ETag"] == created.headers["ETag"]


def test_redeeming_decrements_the_counter_and_stores_a_redemption(redeem):
    coupon = make_coupon(init_count=10)
    counts = [redeem(coupon).json["remaining_count"] for _ in range(3)]
    assert (counts, remaining(coupon), count_redemptions(coupon)) == ([9, 8, 7], 7, 3)
    assert coupon_mismatches() == []


def test_with_open_access_a_redemption_has_no_user(client):
    coupon = make_coupon(per_user_limit=1)
    answers = [client.post(url(coupon)) for _ in range(2)]
    assert answers[0].json["user_id"] is None
    assert codes(answers[1]) == ["coupon-limit-reached"]


def test_remaining_count_of_a_redemption_is_the_current_count(
    client_with_auth, redeem, user_headers
):
    coupon = make_coupon(init_count=10)
    first = redeem(coupon)
    redeem(coupon)
    fetched = client_with_auth.get(first.location, headers=user_headers)
    assert fetched.json["remaining_count"] == 8
    assert fetched.headers["ETag"] != first.headers["ETag"]


# Rejections


def test_an_exhausted_coupon_is_409_with_its_number_of_uses(redeem):
    coupon = make_coupon(init_count=2)
    answers = [redeem(coupon) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert answers[2].json["code"] == "coupon-exhausted"
    assert "2" in answers[2].json["errors"][0]["detail"]
    assert (remaining(coupon), count_redemptions(coupon)) == (0, 2)


@pytest.mark.parametrize("period", [{"valid_from": LATER}, {"valid_until": EARLIER}])
def test_a_coupon_outside_its_period_of_validity_is_409_with_the_time(redeem, period):
    coupon = make_coupon(**period)
    answer = redeem(coupon)
    assert codes(answer) == ["coupon-not-valid"]
    [instant] = period.values()
    assert instant.isoformat() in answer.json["errors"][0]["detail"]
    assert (remaining(coupon), count_redemptions(coupon)) == (10, 0)


@pytest.mark.parametrize("period", [{"valid_from": EARLIER}, {"valid_until": LATER}])
def test_a_coupon_inside_its_period_of_validity_can_be_redeemed(redeem, period):
    assert redeem(make_coupon(**period)).status_code == 201


@pytest.mark.parametrize(("edge", "status"), [("valid_from", 201), ("valid_until", 409)])
def test_the_period_of_validity_includes_its_start_but_not_its_end(redeem, edge, status):
    coupon = make_coupon(**{edge: datetime.now(UTC)})
    assert redeem(coupon).status_code == status


def test_a_user_reaches_the_limit_of_a_coupon(redeem, admin):
    coupon = make_coupon(per_user_limit=2)
    answers = [redeem(coupon) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert answers[2].json["code"] == "coupon-limit-reached"
    assert answers[2].json["errors"][0]["detail"].count("2") == 2
    assert redeem(coupon, headers=admin).status_code == 201


def test_redemptions_by_orders_count_for_the_limit(redeem, user):
    coupon = make_coupon(per_user_limit=1)
    make_order(user=user, coupon_code=coupon.code)
    assert codes(redeem(coupon)) == ["coupon-limit-reached"]


def test_released_redemptions_do_not_count(client_with_auth, redeem, user, user_headers):
    coupon = make_coupon(init_count=1, per_user_limit=1)
    order = make_order(user=user, coupon_code=coupon.code)
    assert codes(redeem(coupon)) == ["coupon-exhausted", "coupon-limit-reached"]
    assert (
        client_with_auth.post(f"/api/v2/orders/{order.pk}/cancel", headers=user_headers).status_code
        == 200
    )
    assert redeem(coupon).status_code == 201


def test_a_lowered_limit_counts_earlier_redemptions(client_with_auth, redeem, admin):
    coupon = make_coupon(per_user_limit=3)
    redeem(coupon)
    redeem(coupon)
    headers = admin | {"If-Match": "*"}
    client_with_auth.patch(
        f"/api/v2/coupons/{coupon.pk}", json={"per_user_limit": 1}, headers=headers
    )
    answer = redeem(coupon)
    assert codes(answer) == ["coupon-limit-reached"]
    assert "1" in answer.json["errors"][0]["detail"]
    assert "2" in answer.json["errors"][0]["detail"]


def test_all_rejection_reasons_are_reported_together(redeem, user):
    coupon = make_coupon(init_count=1, per_user_limit=1)
    service.redeem(coupon, user.pk)
    db.session.refresh(coupon)
    db.update(coupon, {"valid_until": EARLIER})
    answer = redeem(coupon)
    assert codes(answer) == ["coupon-exhausted", "coupon-not-valid", "coupon-limit-reached"]
    assert answer.json["code"] == "conflict"


@pytest.mark.parametrize("pk", ["x", "0", UNKNOWN_PK])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_redemptions_of_a_coupon_that_does_not_exist_are_404(
    client_with_auth, user_headers, method, pk
):
    answer = client_with_auth.open(
        f"/api/v2/coupons/{pk}/redemptions", method=method, headers=user_headers
    )
    assert answer.status_code == 404


# Visibility


def test_a_user_only_sees_their_own_redemptions(client_with_auth, list_pks, redeem, user_headers):
    coupon = make_coupon()
    own_redemption, other_redemption = redeem(coupon), redeem(coupon, sign_in(make_user()))
    assert list_pks(coupon, user_headers) == [own_redemption.json["pk"]]
    assert client_with_auth.get(own_redemption.location, headers=user_headers).status_code == 200
    assert client_with_auth.get(other_redemption.location, headers=user_headers).status_code == 404


def test_an_admin_sees_every_redemption(client_with_auth, list_pks, redeem, admin):
    coupon = make_coupon()
    answers = [redeem(coupon), redeem(coupon, sign_in(make_user())), redeem(coupon, admin)]
    redeem(make_coupon())
    assert list_pks(coupon, admin) == [answer.json["pk"] for answer in answers]
    assert client_with_auth.get(answers[1].location, headers=admin).json == answers[1].json | {
        "remaining_count": 7
    }


def test_an_admin_without_read_any_only_sees_their_own_redemptions(list_pks, redeem):
    admin, coupon = make_user(role="admin"), make_coupon()
    redeem(coupon)
    redemption = redeem(coupon, sign_in(admin))
    assert list_pks(coupon, sign_in(admin, "redemptions:read")) == [redemption.json["pk"]]


def test_a_redemption_of_another_coupon_is_404(client_with_auth, redeem, user_headers):
    created, other_coupon = redeem(make_coupon()), make_coupon()
    answer = client_with_auth.get(f"{url(other_coupon)}/{created.json['pk']}", headers=user_headers)
    assert answer.status_code == 404


def test_redeeming_answers_the_redemption_without_the_permission_to_read(
    client_with_auth, redeem, user
):
    narrowed = sign_in(user, "coupons:redeem")
    created = redeem(make_coupon(), narrowed)
    assert (created.status_code, created.json["user_id"]) == (201, str(user.pk))
    assert client_with_auth.get(created.location, headers=narrowed).status_code == 403


def test_redeeming_needs_the_permission(redeem, user):
    coupon = make_coupon()
    answer = redeem(coupon, sign_in(user, "redemptions:read"))
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "coupons:redeem"
    assert remaining(coupon) == 10


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_redemptions_need_a_token(client_with_auth, method):
    assert client_with_auth.open(url(make_coupon()), method=method).status_code == 401


def test_the_redemption_of_an_order_has_its_pk(client_with_auth, list_pks, user, user_headers):
    coupon = make_coupon()
    order = make_order(user=user, coupon_code=coupon.code)
    [pk] = list_pks(coupon, user_headers)
    fetched = client_with_auth.get(f"{url(coupon)}/{pk}", headers=user_headers).json
    assert (fetched["order_id"], pk) == (str(order.pk), str(order.redemption_id))


def test_released_redemptions_are_listed(client_with_auth, list_pks, user, user_headers):
    coupon = make_coupon()
    order = make_order(user=user, coupon_code=coupon.code)
    pk = str(order.redemption_id)
    before = client_with_auth.get(f"{url(coupon)}/{pk}", headers=user_headers)
    client_with_auth.post(f"/api/v2/orders/{order.pk}/cancel", headers=user_headers)
    assert list_pks(coupon, user_headers) == [pk]
    after = client_with_auth.get(f"{url(coupon)}/{pk}", headers=user_headers)
    assert before.json["released_at"] is None
    assert before.json["updated_at"] < after.json["released_at"] <= after.json["updated_at"]
    assert (before.json["remaining_count"], after.json["remaining_count"]) == (9, 10)


@pytest.mark.parametrize("sort", ["pk", "-pk", "created_at", "-created_at"])
def test_every_sort_key_pages_through_all_redemptions(client_with_auth, redeem, user_headers, sort):
    coupon = make_coupon()
    created_pks = [redeem(coupon).json["pk"] for _ in range(5)]
    path, listed = f"{url(coupon)}?limit=2&sort={sort}", []
    while path:
        answer = client_with_auth.get(path, headers=user_headers)
        listed += [redemption["pk"] for redemption in answer.json]
        next_link = re.search('<([^>]+)>; rel="next"', answer.headers["Link"])
        path = next_link and next_link[1]
    assert listed == (created_pks[::-1] if sort.startswith("-") else created_pks)


def test_a_cursor_is_invalid_for_another_coupon(client_with_auth, redeem, user_headers):
    coupon, other_coupon = make_coupon(), make_coupon()
    for _ in range(2):
        redeem(coupon)
    link = client_with_auth.get(f"{url(coupon)}?limit=1", headers=user_headers).headers["Link"]
    next_url = re.search('<([^>]+)>; rel="next"', link)[1]
    other_url = next_url.replace(str(coupon.pk), str(other_coupon.pk))
    assert client_with_auth.get(other_url, headers=user_headers).status_code == 400


@pytest.mark.parametrize("query", ["user_id=x", f"order_id={UNKNOWN_PK}", "sort=user_id"])
def test_an_invalid_query_parameter_is_422(client_with_auth, user_headers, query):
    assert (
        client_with_auth.get(f"{url(make_coupon())}?{query}", headers=user_headers).status_code
        == 422
    )


def test_redeeming_rejects_query_parameters(redeem):
    coupon = make_coupon()
    assert redeem(coupon, query_string={"times": "2"}).status_code == 422
    assert remaining(coupon) == 10


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT"])
def test_redemptions_cannot_be_updated_or_deleted(client_with_auth, redeem, user_headers, method):
    created = redeem(make_coupon())
    answer = client_with_auth.open(
        created.location, method=method, headers=user_headers | {"If-Match": "*"}
    )
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert client_with_auth.get(created.location, headers=user_headers).json == created.json


# Idempotency keys


def test_a_repeated_redemption_is_replayed(redeem, user_headers):
    coupon = make_coupon()
    key = user_headers | {"Idempotency-Key": "one"}
    first, second = redeem(coupon, key), redeem(coupon, key)
    assert (first.status_code, second.data) == (201, first.data)
    assert second.headers["ETag"] == first.headers["ETag"]
    assert second.location == first.location
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (remaining(coupon), count_redemptions(coupon)) == (9, 1)


def test_a_key_of_another_coupon_is_422(redeem, user_headers):
    key = user_headers | {"Idempotency-Key": "one"}
    other_coupon = make_coupon()
    assert redeem(make_coupon(), key).status_code == 201
    assert redeem(other_coupon, key).status_code == 422
    assert remaining(other_coupon) == 10


def test_a_conflict_is_replayed(client_with_auth, redeem, user_headers, admin):
    coupon = make_coupon(init_count=0)
    key = user_headers | {"Idempotency-Key": "one"}
    first = redeem(coupon, key)
    headers = admin | {"If-Match": "*"}
    client_with_auth.patch(f"/api/v2/coupons/{coupon.pk}", json={"init_count": 1}, headers=headers)
    second = redeem(coupon, key)
    assert codes(first) == codes(second) == ["coupon-exhausted"]
    assert second.data == first.data
    assert remaining(coupon) == 1


# Audit log and release


def test_a_redemption_is_audited(client_with_auth, redeem, admin, user):
    pk = redeem(make_coupon()).json["pk"]
    log = client_with_auth.get("/api/v2/audit", headers=admin).json
    [entry] = [entry for entry in log if entry["resource_pk"] == pk]
    change = (entry["action"], entry["resource"], entry["user_id"])
    assert change == ("create", "redemptions", str(user.pk))
    assert entry["fields"] == ["coupon_id", "order_id", "user_id"]


def test_a_redemption_is_released_once(client_with_auth, redeem):
    coupon = make_coupon()
    pk = UUID(redeem(coupon).json["pk"])
    for _ in range(3):
        service.release(pk)
    assert (remaining(coupon), coupon_mismatches()) == (10, [])


def test_deleting_a_user_with_redemptions_is_409(client_with_auth, redeem, admin, user):
    pk = redeem(make_coupon()).json["pk"]
    answer = client_with_auth.delete(f"/api/v2/users/{user.pk}", headers=admin | {"If-Match": "*"})
    assert (answer.status_code, answer.json["code"]) == (409, "in-use")
    assert pk in answer.text
