"""An order with items of several sellers: what each of them sees, and fulfils."""

from decimal import Decimal

import pytest

from tests.domains.orders.shop import URL, transition
from tests.factories import (
    make_coupon,
    make_hero,
    make_order,
    make_product,
    make_store,
    make_user,
    sign_in,
)


@pytest.fixture
def rival():
    return make_user(role="merchant")


@pytest.fixture
def products(merchant, rival):
    """Two products of the merchant, in two currencies, and one of the rival."""
    stores = [
        make_store(owner_id=merchant.pk, currency="JPY"),
        make_store(owner_id=merchant.pk),
        make_store(owner_id=rival.pk),
    ]
    prices = (Decimal(101), Decimal("9.99"), Decimal(20))
    return [make_product(store, price=price) for store, price in zip(stores, prices, strict=True)]


@pytest.fixture
def order(buyer, products):
    hero, coupon = make_hero(user_id=buyer.pk), make_coupon(percent_off=10, code="Ten")
    return make_order(*products, user=buyer, hero_id=hero.pk, coupon_code=coupon.code)


@pytest.fixture
def fetch(client_with_auth, order):
    """Return a function that gets the order as a user sees it, alone and in the list."""

    def call(user):
        headers = sign_in(user)
        fetched = client_with_auth.get(f"{URL}/{order.pk}", headers=headers).json
        assert client_with_auth.get(URL, headers=headers).json == [fetched]
        return fetched

    return call


@pytest.fixture
def fulfil(client_with_auth, order):
    def call(user):
        return client_with_auth.post(f"{URL}/{order.pk}/fulfil", headers=sign_in(user))

    return call


def product_pks(order):
    return [item["product_id"] for item in order["items"]]


def test_a_buyer_sees_all_of_an_order(fetch, order, buyer, products):
    seen = fetch(buyer)
    assert product_pks(seen) == [str(product.pk) for product in products]
    assert (seen["hero_id"], seen["coupon_code"]) == (str(order.hero_id), "Ten")
    assert seen["totals"] == order.totals


def test_a_seller_sees_own_items_and_their_totals(fetch, merchant, rival, products):
    seen = fetch(merchant)
    assert product_pks(seen) == [str(product.pk) for product in products[:2]]
    assert seen["totals"] == [
        {"currency": "EUR", "subtotal": "9.99", "discount": "1.00", "total": "8.99"},
        {"currency": "JPY", "subtotal": "101", "discount": "10", "total": "91"},
    ]
    assert product_pks(fetch(rival)) == [str(products[2].pk)]


def test_a_seller_sees_neither_hero_nor_coupon(fetch, merchant):
    seen = fetch(merchant)
    assert (seen["hero_id"], seen["coupon_code"], seen["status"]) == (None, None, "placed")


def test_a_seller_does_not_find_items_of_others(client_with_auth, order, merchant, products):
    headers = sign_in(merchant)
    counts = [
        len(client_with_auth.get(f"{URL}?product_id={product.pk}", headers=headers).json)
        for product in products
    ]
    assert counts == [1, 1, 0]


def test_a_seller_who_is_the_buyer_sees_everything(client_with_auth, merchant, products):
    order = make_order(*products, user=merchant, coupon_code=make_coupon().code)
    seen = client_with_auth.get(f"{URL}/{order.pk}", headers=sign_in(merchant)).json
    assert len(seen["items"]) == 3
    assert seen["coupon_code"]


@pytest.mark.parametrize("path", ["", "/{pk}"])
def test_v1_shows_a_seller_the_total_of_own_items(client_with_auth, merchant, buyer, path):
    own = make_product(make_store(owner_id=merchant.pk), price=Decimal("9.99"))
    order = make_order(own, make_product(price=Decimal(20)), user=buyer)
    url = f"/api/v1/orders{path.format(pk=order.pk)}"
    answers = [client_with_auth.get(url, headers=sign_in(user)).json for user in (merchant, buyer)]
    if not path:
        answers = [answer[0] for answer in answers]
    assert [answer["total"] for answer in answers] == [9.99, 29.99]
    if path:
        assert [len(answer["items"]) for answer in answers] == [1, 2]


def test_each_seller_fulfils_own_items(client_with_auth, order, fulfil, merchant, rival, admin):
    transition(client_with_auth, order.pk, "pay", headers=admin)
    first = fulfil(merchant)
    assert (first.status_code, first.json["status"]) == (200, "partially_fulfilled")
    assert all(item["fulfilled_at"] for item in first.json["items"])
    stored = client_with_auth.get(f"{URL}/{order.pk}", headers=admin).json
    assert [bool(item["fulfilled_at"]) for item in stored["items"]] == [True, True, False]
    second = fulfil(rival)
    assert (second.status_code, second.json["status"]) == (200, "fulfilled")


def test_an_admin_fulfils_the_rest(client_with_auth, order, fulfil, merchant, admin):
    transition(client_with_auth, order.pk, "pay", headers=admin)
    times = [item["fulfilled_at"] for item in fulfil(merchant).json["items"]]
    answer = transition(client_with_auth, order.pk, "fulfil", headers=admin)
    assert answer.json["status"] == "fulfilled"
    assert [item["fulfilled_at"] for item in answer.json["items"]][:2] == times


def test_fulfilling_own_items_twice_is_409(client_with_auth, order, fulfil, merchant, admin):
    transition(client_with_auth, order.pk, "pay", headers=admin)
    assert fulfil(merchant).status_code == 200
    answer = fulfil(merchant)
    assert (answer.status_code, answer.json["code"]) == (409, "wrong-status")
    assert answer.json["allowed_transitions"] == []


def test_a_partially_fulfilled_order_cannot_be_cancelled(
    client_with_auth, order, fulfil, merchant, buyer_headers, admin
):
    transition(client_with_auth, order.pk, "pay", headers=admin)
    fulfil(merchant)
    answer = client_with_auth.post(f"{URL}/{order.pk}/cancel", headers=buyer_headers)
    assert (answer.status_code, answer.json["code"]) == (409, "wrong-status")


def test_the_transitions_are_those_that_the_caller_may_do(
    client_with_auth, order, fetch, fulfil, buyer, merchant, rival, admin
):
    def seen_by(*users):
        return [fetch(user)["allowed_transitions"] for user in users]

    assert seen_by(buyer, merchant) == [["pay", "cancel"], []]
    transition(client_with_auth, order.pk, "pay", headers=admin)
    assert seen_by(buyer, merchant, rival) == [["cancel"], ["fulfil"], ["fulfil"]]
    fulfil(merchant)
    assert seen_by(buyer, merchant, rival) == [[], [], ["fulfil"]]
    narrowed = sign_in(rival, "orders:read", "sales:read")
    answer = client_with_auth.get(f"{URL}/{order.pk}", headers=narrowed)
    assert answer.status_code == 200, answer.text
    assert answer.json["allowed_transitions"] == []


def test_the_transitions_of_a_409_are_those_that_the_caller_may_do(
    client_with_auth, order, buyer_headers, admin
):
    transition(client_with_auth, order.pk, "pay", headers=admin)
    answer = client_with_auth.post(f"{URL}/{order.pk}/pay", headers=buyer_headers)
    assert (answer.status_code, answer.json["allowed_transitions"]) == (409, ["cancel"])
    assert "Allowed actions: cancel." in answer.json["detail"]


def test_each_fulfilment_changes_the_etag_and_the_audit_log(
    client_with_auth, order, fulfil, merchant, rival, admin
):
    transition(client_with_auth, order.pk, "pay", headers=admin)
    etags = [client_with_auth.get(f"{URL}/{order.pk}", headers=admin).headers["ETag"]]
    for seller in (merchant, rival):
        fulfil(seller)
        etags.append(client_with_auth.get(f"{URL}/{order.pk}", headers=admin).headers["ETag"])
    assert len(set(etags)) == 3
    url = f"/api/v2/audit?resource=orders&resource_pk={order.pk}&sort=-pk&limit=2"
    entries = client_with_auth.get(url, headers=admin).json
    assert [entry["fields"] for entry in entries] == [["items", "status"]] * 2
