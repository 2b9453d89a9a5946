"""Transitions of orders, by status."""

import pytest
from sqlalchemy import select

from alchemist import database as db
from alchemist.domains.coupons.models import Redemption
from alchemist.domains.orders.models import TRANSITIONS
from tests.answers import pointers_and_codes
from tests.domains.orders.shop import URL, coupon_mismatches, item, remaining, stock, transition
from tests.factories import make_coupon, make_product, make_user, sign_in

ACTIONS_TO = {
    "placed": [],
    "paid": ["pay"],
    "fulfilled": ["pay", "fulfil"],
    "cancelled": ["cancel"],
}
ALLOWED = {
    ("placed", "pay"): "paid",
    ("placed", "cancel"): "cancelled",
    ("paid", "fulfil"): "fulfilled",
    ("paid", "cancel"): "cancelled",
}
VERBS = ["pay", "fulfil", "cancel"]
FORBIDDEN = [
    (status, verb) for status in ACTIONS_TO for verb in VERBS if (status, verb) not in ALLOWED
]


@pytest.fixture
def order_in_status(client_with_auth, place, admin):
    """Return a function that creates an order with a status and returns its pk."""

    def call(status, *items, **values):
        pk = place(*(items or [item(make_product())]), **values).json["pk"]
        transition(client_with_auth, pk, *ACTIONS_TO[status], headers=admin)
        return pk

    return call


@pytest.mark.parametrize(("status", "verb"), ALLOWED)
def test_an_allowed_transition_changes_the_status(
    client_with_auth, order_in_status, admin, status, verb
):
    pk = order_in_status(status)
    before = client_with_auth.get(f"{URL}/{pk}", headers=admin)
    answer = client_with_auth.post(f"{URL}/{pk}/{verb}", headers=admin)
    assert answer.status_code == 200
    assert answer.json["status"] == ALLOWED[status, verb]
    assert answer.json["allowed_transitions"] == list(TRANSITIONS[answer.json["status"]])
    assert answer.json["updated_at"] > before.json["updated_at"]
    fetched = client_with_auth.get(f"{URL}/{pk}", headers=admin)
    assert (fetched.json, fetched.headers["ETag"]) == (answer.json, answer.headers["ETag"])


@pytest.mark.parametrize(("status", "verb"), FORBIDDEN)
def test_any_other_transition_is_409(client_with_auth, order_in_status, admin, status, verb):
    pk = order_in_status(status)
    before = client_with_auth.get(f"{URL}/{pk}", headers=admin).json
    answer = client_with_auth.post(f"{URL}/{pk}/{verb}", headers=admin)
    assert (answer.status_code, answer.json["code"]) == (409, "wrong-status")
    assert answer.json["allowed_transitions"] == list(TRANSITIONS[status])
    assert status in answer.json["detail"]
    assert all(allowed in answer.json["detail"] for allowed in TRANSITIONS[status])
    assert client_with_auth.get(f"{URL}/{pk}", headers=admin).json == before


def test_every_allowed_transition_is_a_path_below_the_order(
    client_with_auth, order_in_status, admin
):
    for status in ACTIONS_TO:
        pk = order_in_status(status)
        for verb in client_with_auth.get(f"{URL}/{pk}", headers=admin).json["allowed_transitions"]:
            answer = client_with_auth.post(
                f"{URL}/{pk}/{verb}", headers=admin | {"If-Match": '"x"'}
            )
            assert answer.status_code == 412


def test_a_customer_can_pay_and_cancel_but_not_fulfil(
    client_with_auth, order_in_status, buyer_headers
):
    pk = order_in_status("placed")
    transition(client_with_auth, pk, "pay", headers=buyer_headers)
    rejected = client_with_auth.post(f"{URL}/{pk}/fulfil", headers=buyer_headers)
    assert rejected.status_code == 403
    assert rejected.json["errors"][0]["permission"] == "orders:fulfil"
    transition(client_with_auth, pk, "cancel", headers=buyer_headers)


# Cancelling


@pytest.mark.parametrize("status", ["placed", "paid"])
def test_cancelling_returns_stock_and_coupon(client_with_auth, order_in_status, admin, status):
    five, last = make_product(stock=5), make_product(stock=1)
    unlimited, coupon = make_product(stock=None), make_coupon(percent_off=10)
    pk = order_in_status(
        status, item(five, 2), item(last), item(unlimited, 4), coupon_code=coupon.code
    )
    reserved = [stock(five), stock(last), stock(unlimited), remaining(coupon)]
    assert reserved == [3, 0, None, 9]
    transition(client_with_auth, pk, "cancel", headers=admin)
    returned = [stock(five), stock(last), stock(unlimited), remaining(coupon)]
    assert returned == [5, 1, None, 10]
    assert coupon_mismatches() == []


def test_cancelling_keeps_items_and_totals(client_with_auth, place, buyer_headers):
    coupon = make_coupon(percent_off=10)
    placed = place(item(make_product(stock=3), 2), coupon_code=coupon.code).json
    cancelled = transition(client_with_auth, placed["pk"], "cancel", headers=buyer_headers).json
    for name in ("items", "totals", "coupon_code", "placed_at", "user_id"):
        assert cancelled[name] == placed[name]


def test_a_released_redemption_is_not_deleted(client_with_auth, place, buyer_headers):
    coupon = make_coupon()
    pk = place(item(make_product()), coupon_code=coupon.code).json["pk"]
    transition(client_with_auth, pk, "cancel", headers=buyer_headers)
    redemption = db.session.scalars(select(Redemption)).one()
    assert (str(redemption.order_id), redemption.released_at is not None) == (pk, True)


def test_a_coupon_can_be_redeemed_again_after_cancelling(client_with_auth, place, buyer_headers):
    coupon = make_coupon(init_count=1, per_user_limit=1)
    for _ in range(2):
        placed = place(item(make_product()), coupon_code=coupon.code)
        assert placed.status_code == 201
        transition(client_with_auth, placed.json["pk"], "cancel", headers=buyer_headers)
    assert (remaining(coupon), coupon_mismatches()) == (1, [])


def test_a_second_cancellation_is_409(client_with_auth, place, buyer_headers):
    product, coupon = make_product(stock=5), make_coupon()
    pk = place(item(product, 2), coupon_code=coupon.code).json["pk"]
    answers = [client_with_auth.post(f"{URL}/{pk}/cancel", headers=buyer_headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 409, 409]
    assert (stock(product), remaining(coupon)) == (5, 10)


def test_an_order_is_cancelled_once_with_any_idempotency_key(
    client_with_auth, place, buyer_headers
):
    product, coupon = make_product(stock=5), make_coupon()
    pk = place(item(product, 2), coupon_code=coupon.code).json["pk"]
    answers = [
        client_with_auth.post(
            f"{URL}/{pk}/cancel", headers=buyer_headers | {"Idempotency-Key": key}
        )
        for key in ("one", "one", "two", "two")
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 409, 409]
    assert answers[1].data == answers[0].data
    assert answers[1].headers["ETag"] == answers[0].headers["ETag"]
    assert answers[3].data == answers[2].data
    assert answers[3].headers["Idempotent-Replayed"] == "true"
    assert (stock(product), remaining(coupon)) == (5, 10)


@pytest.mark.parametrize(
    ("before", "after", "returned"), [(5, None, None), (None, 7, 7), (5, 0, 2)]
)
def test_cancelling_after_a_change_of_the_stock_returns_the_reserved_quantity(
    client_with_auth, place, buyer_headers, admin, before, after, returned
):
    """Nothing is returned if the stock was unlimited at either time."""
    product = make_product(stock=before)
    pk = place(item(product, 2)).json["pk"]
    headers = admin | {"If-Match": "*"}
    changed = client_with_auth.patch(
        f"/api/v2/products/{product.pk}", json={"stock": after}, headers=headers
    )
    assert changed.status_code == 200
    transition(client_with_auth, pk, "cancel", headers=buyer_headers)
    assert stock(product) == returned


def test_cancelling_can_exceed_the_maximum_stock(client_with_auth, place, buyer_headers):
    product = make_product(stock=1_000_000_000)
    pk = place(item(product, 5)).json["pk"]
    restocked = client_with_auth.post(
        f"/api/v2/products/{product.pk}/restock",
        json={"quantity": 5},
        headers=sign_in(make_user(role="admin")),
    )
    assert restocked.status_code == 200
    transition(client_with_auth, pk, "cancel", headers=buyer_headers)
    assert stock(product) == 1_000_000_005


def test_a_fulfilled_order_cannot_be_cancelled(client_with_auth, order_in_status, buyer_headers):
    product, coupon = make_product(stock=5), make_coupon()
    pk = order_in_status("fulfilled", item(product, 2), coupon_code=coupon.code)
    assert client_with_auth.post(f"{URL}/{pk}/cancel", headers=buyer_headers).status_code == 409
    assert (stock(product), remaining(coupon)) == (3, 9)


def test_cancelling_uses_the_same_statements_for_any_number_of_items(client, statements):
    counts = []
    for length in (1, 30):
        items = [item(make_product(stock=9)) for _ in range(length)]
        body = {"items": items, "coupon_code": make_coupon().code}
        pk = client.post(URL, json=body).json["pk"]
        with statements() as executed:
            assert client.post(f"{URL}/{pk}/cancel").status_code == 200
        counts.append(len(executed))
    assert counts[0] == counts[1]


# Preconditions


def test_a_transition_checks_an_optional_if_match(client_with_auth, place, buyer_headers):
    placed = place(item(make_product()))
    url = f"{URL}/{placed.json['pk']}"
    stale = client_with_auth.post(
        f"{url}/pay", headers=buyer_headers | {"If-Match": '"precondition-failed"'}
    )
    assert (stale.status_code, stale.json["current"]) == (412, placed.json)
    etag = {"If-Match": placed.headers["ETag"]}
    assert client_with_auth.post(f"{url}/pay", headers=buyer_headers | etag).status_code == 200
    assert client_with_auth.post(f"{url}/cancel", headers=buyer_headers | etag).status_code == 412


def test_a_transition_rejects_query_parameters(client_with_auth, place, buyer_headers):
    pk = place(item(make_product())).json["pk"]
    assert (
        client_with_auth.post(f"{URL}/{pk}/pay?force=1", headers=buyer_headers).status_code == 422
    )
    assert client_with_auth.get(f"{URL}/{pk}", headers=buyer_headers).json["status"] == "placed"


# References


@pytest.mark.parametrize("status", ACTIONS_TO)
def test_deleting_what_was_ordered_is_409_with_the_order(
    client_with_auth, order_in_status, buyer, admin, status
):
    product, coupon = make_product(), make_coupon()
    hero = client_with_auth.post(
        "/api/v2/heroes", json={"nickname": "Moss"}, headers=sign_in(buyer)
    ).json
    pk = order_in_status(status, item(product), coupon_code=coupon.code, hero_id=hero["pk"])
    redemption = db.session.scalar(select(Redemption.pk))
    for path, referrer in (
        (f"products/{product.pk}", pk),
        (f"heroes/{hero['pk']}", pk),
        (f"coupons/{coupon.pk}", str(redemption)),
    ):
        url, headers = f"/api/v2/{path}", admin | {"If-Match": "*"}
        answer = client_with_auth.delete(url, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (409, "in-use"), path
        assert referrer in answer.text
        assert client_with_auth.get(url, headers=admin).status_code == 200


def test_deleting_a_user_with_orders_is_409(client_with_auth, place, admin):
    shopper = make_user()
    assert place(item(make_product()), headers=sign_in(shopper)).status_code == 201
    url = f"/api/v2/users/{shopper.pk}"
    answer = client_with_auth.delete(url, headers=admin | {"If-Match": "*"})
    assert (answer.status_code, answer.json["code"]) == (409, "in-use")
    assert client_with_auth.post(f"{url}/anonymise", headers=admin).status_code == 200


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("pk", ["x", "0", "01935f2e-7c1a-7b3e-9d3c-0123456789ab"])
def test_a_transition_of_an_order_that_does_not_exist_is_404(client_with_auth, admin, verb, pk):
    assert client_with_auth.post(f"{URL}/{pk}/{verb}", headers=admin).status_code == 404


def test_a_rejected_order_can_be_placed_after_a_restock(place, client_with_auth, admin):
    product = make_product(stock=0)
    rejected = place(item(product))
    assert pointers_and_codes(rejected) == {("#/items/0", "out-of-stock")}
    client_with_auth.post(
        f"/api/v2/products/{product.pk}/restock", json={"quantity": 1}, headers=admin
    )
    assert place(item(product)).status_code == 201
