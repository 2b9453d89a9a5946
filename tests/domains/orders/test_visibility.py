"""Whose orders one sees and moves: as their buyer, as a seller, and as an admin."""

import pytest

from tests.domains.orders.shop import URL, transition
from tests.factories import make_order, make_product, make_store, make_user, sign_in

EVERYTHING_BUT_SALES = ("orders:read", "orders:write", "orders:fulfil", "products:write")


@pytest.fixture
def offer(merchant):
    """Return what offers a product in a store of the merchant, or of somebody else."""

    def call(owner=merchant):
        return make_product(make_store(owner_id=owner and owner.pk))

    return call


@pytest.fixture
def seen(client_with_auth):
    """Return what lists the orders that a query finds."""

    def call(headers, **query):
        answer = client_with_auth.get(URL, query_string=query, headers=headers)
        assert answer.status_code == 200, answer.text
        return [order["pk"] for order in answer.json]

    return call


@pytest.fixture
def fulfil(client_with_auth):
    def call(order, headers):
        return client_with_auth.post(f"{URL}/{order.pk}/fulfil", headers=headers)

    return call


@pytest.fixture
def paid(client_with_auth, admin, buyer):
    """Return what places and pays an order of the buyer."""

    def call(*products):
        order = make_order(*products, user=buyer)
        transition(client_with_auth, order.pk, "pay", headers=admin)
        return order

    return call


# Buyers and strangers


def test_a_buyer_only_sees_their_own_orders(client_with_auth, seen, buyer, buyer_headers):
    own, other, nobodys = make_order(user=buyer), make_order(user=make_user()), make_order()
    assert seen(buyer_headers) == [str(own.pk)]
    found = [
        client_with_auth.get(f"{URL}/{order.pk}", headers=buyer_headers).status_code
        for order in (own, other, nobodys)
    ]
    assert found == [200, 404, 404]


def test_an_order_of_another_user_is_the_same_404_as_a_missing_one(client_with_auth, buyer_headers):
    pks = [make_order(user=make_user()).pk, "01935f2e-7c1a-7b3e-9d3c-0123456789ab"]
    answers = [client_with_auth.get(f"{URL}/{pk}", headers=buyer_headers).json for pk in pks]
    assert answers[0]["detail"] == answers[1]["detail"]


@pytest.mark.parametrize("verb", ["pay", "cancel"])
def test_a_stranger_cannot_pay_or_cancel(client_with_auth, buyer_headers, admin, verb):
    pk = make_order(user=make_user()).pk
    assert client_with_auth.post(f"{URL}/{pk}/{verb}", headers=buyer_headers).status_code == 404
    assert client_with_auth.get(f"{URL}/{pk}", headers=admin).json["status"] == "placed"


@pytest.mark.parametrize("verb", ["pay", "cancel"])
def test_a_seller_cannot_pay_or_cancel(client_with_auth, offer, merchant, buyer, admin, verb):
    pk = make_order(offer(), user=buyer).pk
    answer = client_with_auth.post(f"{URL}/{pk}/{verb}", headers=sign_in(merchant))
    assert answer.status_code == 404
    assert client_with_auth.get(f"{URL}/{pk}", headers=admin).json["status"] == "placed"


def test_filters_do_not_reveal_orders_of_other_users(seen, buyer, buyer_headers):
    other, product = make_user(), make_product()
    make_order(product, user=other)
    own = make_order(product, user=buyer)
    assert seen(buyer_headers, user_id=str(other.pk)) == []
    assert seen(buyer_headers, product_id=str(product.pk)) == [str(own.pk)]
    assert seen(buyer_headers, status="placed") == [str(own.pk)]


def test_a_count_only_includes_visible_orders(client_with_auth, buyer, buyer_headers):
    make_order(user=buyer)
    make_order(user=make_user())
    answer = client_with_auth.get(URL, query_string={"count": "exact"}, headers=buyer_headers)
    assert answer.headers["X-Total-Count"] == "1"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_orders_need_a_token(client_with_auth, method):
    answer = client_with_auth.open(
        URL, method=method, json={"items": []} if method == "POST" else None
    )
    assert answer.status_code == 401


def test_reading_orders_needs_the_permission(client_with_auth, buyer):
    answer = client_with_auth.get(URL, headers=sign_in(buyer, "orders:write"))
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "orders:read"


def test_placing_answers_the_order_without_the_permission_to_read(client_with_auth, buyer):
    narrowed = sign_in(buyer, "orders:write")
    body = {"items": [{"product_id": str(make_product().pk), "quantity": 1}]}
    answer = client_with_auth.post(URL, json=body, headers=narrowed)
    assert (answer.status_code, answer.json["user_id"]) == (201, str(buyer.pk))
    assert client_with_auth.get(answer.location, headers=narrowed).status_code == 403


# Sellers


def test_a_seller_sees_orders_with_products_of_their_stores(
    client_with_auth, seen, offer, merchant, buyer
):
    whole = make_order(offer(), offer(), user=buyer)
    part = make_order(offer(), offer(make_user()), user=buyer)
    make_order(offer(make_user()), user=buyer)
    make_order(offer(None), user=buyer)
    headers = sign_in(merchant)
    assert seen(headers) == [str(whole.pk), str(part.pk)]
    shown = client_with_auth.get(f"{URL}/{part.pk}", headers=headers)
    assert len(shown.json["items"]) == 2


def test_a_seller_also_sees_their_own_orders(seen, offer, merchant, buyer):
    bought = make_order(offer(make_user()), user=merchant)
    sold = make_order(offer(), user=buyer)
    assert seen(sign_in(merchant)) == [str(bought.pk), str(sold.pk)]


def test_an_order_of_the_sellers_own_products_is_listed_once(seen, offer, merchant):
    order = make_order(offer(), offer(), user=merchant)
    assert seen(sign_in(merchant)) == [str(order.pk)]


def test_without_sales_read_a_seller_only_sees_their_own_orders(
    client_with_auth, seen, offer, merchant, buyer
):
    bought, sold = make_order(user=merchant), make_order(offer(), user=buyer)
    narrowed = sign_in(merchant, *EVERYTHING_BUT_SALES)
    assert seen(narrowed) == [str(bought.pk)]
    assert client_with_auth.get(f"{URL}/{sold.pk}", headers=narrowed).status_code == 404


def test_a_customer_who_owns_a_store_does_not_see_its_sales(seen, offer, buyer):
    make_order(offer(buyer), user=make_user())
    assert seen(sign_in(buyer)) == []


def test_the_owner_of_all_stores_can_fulfil(fulfil, offer, merchant, paid):
    order = paid(offer(), offer())
    answer = fulfil(order, sign_in(merchant))
    assert (answer.status_code, answer.json["status"]) == (200, "fulfilled")


@pytest.mark.parametrize("is_owned", [True, False])
def test_the_owner_of_some_stores_cannot_fulfil(
    client_with_auth, fulfil, offer, merchant, paid, is_owned
):
    order = paid(offer(), offer(make_user() if is_owned else None))
    headers = sign_in(merchant)
    assert fulfil(order, headers).status_code == 404
    assert client_with_auth.get(f"{URL}/{order.pk}", headers=headers).json["status"] == "paid"


def test_the_owner_of_no_store_cannot_fulfil(fulfil, offer, merchant, paid):
    assert fulfil(paid(offer(make_user())), sign_in(merchant)).status_code == 404


def test_a_merchant_cannot_fulfil_an_order_that_they_only_placed(
    client_with_auth, fulfil, merchant, offer
):
    order = make_order(offer(make_user()), user=merchant)
    headers = sign_in(merchant)
    transition(client_with_auth, order.pk, "pay", headers=headers)
    assert fulfil(order, headers).status_code == 404


def test_fulfilling_an_unpaid_order_is_409(fulfil, offer, merchant, buyer):
    answer = fulfil(make_order(offer(), user=buyer), sign_in(merchant))
    assert (answer.status_code, answer.json["code"]) == (409, "wrong-status")


def test_a_new_owner_of_a_store_sees_its_orders(client_with_auth, seen, merchant, buyer, admin):
    store, heir = make_store(owner_id=merchant.pk), make_user(role="merchant")
    order = make_order(make_product(store), user=buyer)
    client_with_auth.patch(
        f"/api/v2/stores/{store.pk}",
        json={"owner_id": str(heir.pk)},
        headers=admin | {"If-Match": "*"},
    )
    assert seen(sign_in(merchant)) == []
    assert seen(sign_in(heir)) == [str(order.pk)]


# Admins


def test_an_admin_sees_pays_and_fulfils_every_order(client_with_auth, seen, offer, admin, fulfil):
    orders = [make_order(offer(None), user=user) for user in (make_user(), None)]
    assert seen(admin) == [str(order.pk) for order in orders]
    for order in orders:
        assert client_with_auth.get(f"{URL}/{order.pk}", headers=admin).status_code == 200
        transition(client_with_auth, order.pk, "pay", "fulfil", headers=admin)


@pytest.mark.parametrize(
    ("verb", "permission"),
    [("pay", "orders:write"), ("cancel", "orders:write"), ("fulfil", "orders:fulfil")],
)
def test_an_admin_without_the_any_permission_is_a_stranger(client_with_auth, verb, permission):
    pk = make_order(user=make_user()).pk
    narrowed = sign_in(make_user(role="admin"), permission, "orders:read:any")
    assert client_with_auth.post(f"{URL}/{pk}/{verb}", headers=narrowed).status_code == 404


def test_an_admin_without_read_any_only_sees_their_own_orders(seen, admin):
    make_order(user=make_user())
    admin = make_user(role="admin")
    own = make_order(user=admin)
    assert seen(sign_in(admin, "orders:read")) == [str(own.pk)]
