"""Which orders a buyer, a seller and an admin can see and change."""

import pytest

from tests.domains.orders.shop import URL, transition
from tests.factories import make_order, make_product, make_store, make_user, sign_in

EVERYTHING_BUT_SALES = ("orders:read", "orders:write", "orders:fulfil", "products:write")


@pytest.fixture
def make_merchant_product(merchant):
    """Return a function that creates a product in a store of the merchant or another owner."""

    def call(owner=merchant):
        return make_product(make_store(owner_id=owner and owner.pk))

    return call


@pytest.fixture
def list_pks(client_with_auth):
    """Return a function that lists the pks of the orders that a caller sees."""

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
def make_paid_order(client_with_auth, admin, buyer):
    """Return a function that creates a paid order of the buyer."""

    def call(*products):
        order = make_order(*products, user=buyer)
        transition(client_with_auth, order.pk, "pay", headers=admin)
        return order

    return call


# Buyers and strangers


def test_a_buyer_only_sees_their_own_orders(client_with_auth, list_pks, buyer, buyer_headers):
    own_order, other_order, open_access_order = (
        make_order(user=buyer),
        make_order(user=make_user()),
        make_order(),
    )
    assert list_pks(buyer_headers) == [str(own_order.pk)]
    statuses = [
        client_with_auth.get(f"{URL}/{order.pk}", headers=buyer_headers).status_code
        for order in (own_order, other_order, open_access_order)
    ]
    assert statuses == [200, 404, 404]


def test_a_filter_by_store_finds_no_item_that_the_seller_does_not_see(
    list_pks, merchant, make_merchant_product, buyer, buyer_headers
):
    own, other = make_merchant_product(), make_merchant_product(make_user(role="merchant"))
    order = make_order(own, other, user=buyer)
    headers = sign_in(merchant)
    assert list_pks(headers, store_id=str(own.store_id)) == [str(order.pk)]
    assert list_pks(headers, store_id=str(other.store_id)) == []
    assert list_pks(buyer_headers, store_id=str(other.store_id)) == [str(order.pk)]


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
def test_a_seller_cannot_pay_or_cancel(
    client_with_auth, make_merchant_product, merchant, buyer, admin, verb
):
    pk = make_order(make_merchant_product(), user=buyer).pk
    answer = client_with_auth.post(f"{URL}/{pk}/{verb}", headers=sign_in(merchant))
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "orders:write:any"
    assert client_with_auth.get(f"{URL}/{pk}", headers=admin).json["status"] == "placed"


def test_filters_do_not_reveal_orders_of_other_users(list_pks, buyer, buyer_headers):
    stranger, product = make_user(), make_product()
    make_order(product, user=stranger)
    order = make_order(product, user=buyer)
    assert list_pks(buyer_headers, user_id=str(stranger.pk)) == []
    assert list_pks(buyer_headers, product_id=str(product.pk)) == [str(order.pk)]
    assert list_pks(buyer_headers, status="placed") == [str(order.pk)]


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
    client_with_auth, list_pks, make_merchant_product, merchant, buyer
):
    all_items = make_order(make_merchant_product(), make_merchant_product(), user=buyer)
    some_items = make_order(make_merchant_product(), make_merchant_product(make_user()), user=buyer)
    make_order(make_merchant_product(make_user()), user=buyer)
    make_order(make_merchant_product(None), user=buyer)
    headers = sign_in(merchant)
    assert list_pks(headers) == [str(all_items.pk), str(some_items.pk)]
    fetched = client_with_auth.get(f"{URL}/{some_items.pk}", headers=headers)
    assert len(fetched.json["items"]) == 1


def test_a_seller_also_sees_their_own_orders(list_pks, make_merchant_product, merchant, buyer):
    placed = make_order(make_merchant_product(make_user()), user=merchant)
    sold = make_order(make_merchant_product(), user=buyer)
    assert list_pks(sign_in(merchant)) == [str(placed.pk), str(sold.pk)]


def test_an_order_of_the_sellers_own_products_is_listed_once(
    list_pks, make_merchant_product, merchant
):
    order = make_order(make_merchant_product(), make_merchant_product(), user=merchant)
    assert list_pks(sign_in(merchant)) == [str(order.pk)]


def test_without_sales_read_a_seller_only_sees_their_own_orders(
    client_with_auth, list_pks, make_merchant_product, merchant, buyer
):
    placed, sold = make_order(user=merchant), make_order(make_merchant_product(), user=buyer)
    narrowed = sign_in(merchant, *EVERYTHING_BUT_SALES)
    assert list_pks(narrowed) == [str(placed.pk)]
    assert client_with_auth.get(f"{URL}/{sold.pk}", headers=narrowed).status_code == 404


def test_a_customer_who_owns_a_store_does_not_see_its_sales(list_pks, make_merchant_product, buyer):
    make_order(make_merchant_product(buyer), user=make_user())
    assert list_pks(sign_in(buyer)) == []


def test_the_owner_of_all_stores_can_fulfil(
    fulfil, make_merchant_product, merchant, make_paid_order
):
    order = make_paid_order(make_merchant_product(), make_merchant_product())
    answer = fulfil(order, sign_in(merchant))
    assert (answer.status_code, answer.json["status"]) == (200, "fulfilled")


def test_the_owner_of_no_store_cannot_fulfil(
    fulfil, make_merchant_product, merchant, make_paid_order
):
    assert (
        fulfil(make_paid_order(make_merchant_product(make_user())), sign_in(merchant)).status_code
        == 404
    )


def test_a_merchant_cannot_fulfil_an_order_that_they_only_placed(
    client_with_auth, fulfil, merchant, make_merchant_product
):
    order = make_order(make_merchant_product(make_user()), user=merchant)
    headers = sign_in(merchant)
    transition(client_with_auth, order.pk, "pay", headers=headers)
    assert fulfil(order, headers).status_code == 403


def test_fulfilling_an_unpaid_order_is_409(fulfil, make_merchant_product, merchant, buyer):
    answer = fulfil(make_order(make_merchant_product(), user=buyer), sign_in(merchant))
    assert (answer.status_code, answer.json["code"]) == (409, "wrong-status")


def test_a_new_owner_of_a_store_sees_its_orders(client_with_auth, list_pks, merchant, buyer, admin):
    store, new_owner = make_store(owner_id=merchant.pk), make_user(role="merchant")
    order = make_order(make_product(store), user=buyer)
    client_with_auth.patch(
        f"/api/v2/stores/{store.pk}",
        json={"owner_id": str(new_owner.pk)},
        headers=admin | {"If-Match": "*"},
    )
    assert list_pks(sign_in(merchant)) == []
    assert list_pks(sign_in(new_owner)) == [str(order.pk)]


# Admins


def test_an_admin_sees_pays_and_fulfils_every_order(
    client_with_auth, list_pks, make_merchant_product, admin, fulfil
):
    orders = [make_order(make_merchant_product(None), user=user) for user in (make_user(), None)]
    assert list_pks(admin) == [str(order.pk) for order in orders]
    for order in orders:
        assert client_with_auth.get(f"{URL}/{order.pk}", headers=admin).status_code == 200
        transition(client_with_auth, order.pk, "pay", "fulfil", headers=admin)


@pytest.mark.parametrize(
    ("verb", "permission"),
    [("pay", "orders:write"), ("cancel", "orders:write"), ("fulfil", "orders:fulfil")],
)
def test_an_admin_without_the_any_permission_is_a_stranger(client_with_auth, verb, permission):
    url, admin = f"{URL}/{make_order(user=make_user()).pk}/{verb}", make_user(role="admin")
    reader, writer = sign_in(admin, permission, "orders:read:any"), sign_in(admin, permission)
    answer = client_with_auth.post(url, headers=reader)
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == f"{permission}:any"
    assert client_with_auth.post(url, headers=writer).status_code == 404


def test_an_admin_without_read_any_only_sees_their_own_orders(list_pks, admin):
    make_order(user=make_user())
    admin = make_user(role="admin")
    order = make_order(user=admin)
    assert list_pks(sign_in(admin, "orders:read")) == [str(order.pk)]
