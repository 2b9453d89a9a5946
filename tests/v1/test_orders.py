"""The orders of v1, key by key."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import select
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.orders import service
from alchemist.domains.orders.models import Order
from alchemist.domains.products.models import Product
from tests.answers import error_pointers
from tests.factories import make_coupon, make_order, make_product, make_store, make_user, sign_in

URL = "/api/v1/orders/"
KEYS = ["orderId", "date", "total"]
PRODUCT_KEYS = ["productId", "storeId", "name", "price", "description", "store"]


@pytest.fixture
def buyer(client_with_auth):
    return make_user()


@pytest.fixture
def buyer_headers(buyer):
    """The headers of a request of the buyer."""
    return sign_in(buyer)


@pytest.fixture
def place(client_with_auth, buyer_headers):
    def call(*lines, headers=buyer_headers, **values):
        items = [{"productId": str(pk), "quantity": quantity} for pk, quantity in lines]
        return client_with_auth.post(URL, json={"items": items} | values, headers=headers)

    return call


def orders():
    db.session.rollback()
    return db.session.scalars(select(Order).order_by(Order.pk)).all()


def stock_of(product):
    db.session.rollback()
    return db.session.get(Product, product.pk, populate_existing=True).stock


def test_a_new_order_is_answered_with_201_and_its_detail(client_with_auth, buyer_headers, place):
    product = make_product(price=Decimal("9.90"))
    answer = place((product.pk, 3))
    assert answer.status_code == 201
    assert list(answer.json) == [*KEYS, "items"]
    assert [item["quantity"] for item in answer.json["items"]] == [3]
    detail = client_with_auth.get(f"{URL}{answer.json['orderId']}", headers=buyer_headers)
    assert detail.data == answer.data
    assert answer.json["total"] == 29.7
    assert '"total":29.7' in answer.text.replace(" ", "")
    assert str(UUID(answer.json["orderId"])) == answer.json["orderId"]


def test_a_date_is_naive_and_in_utc(client_with_auth, buyer_headers, place):
    answer = place((make_product().pk, 1))
    date = datetime.fromisoformat(answer.json["date"])
    assert date.tzinfo is None
    shown = client_with_auth.get(
        f"/api/v2/orders/{answer.json['orderId']}", headers=buyer_headers
    ).json
    assert shown["placed_at"] == f"{answer.json['date']}+00:00"
    assert date.replace(tzinfo=UTC) == datetime.fromisoformat(shown["placed_at"])


def test_a_new_order_is_the_callers_and_placed(client_with_auth, buyer, buyer_headers, place):
    pk = place((make_product().pk, 1)).json["orderId"]
    shown = client_with_auth.get(f"/api/v2/orders/{pk}", headers=buyer_headers).json
    assert (shown["user_id"], shown["status"]) == (str(buyer.pk), "placed")
    assert (shown["hero_id"], shown["coupon_code"]) == (None, None)


def test_an_order_in_detail_has_its_items_too(client_with_auth, buyer_headers, place):
    store = make_store(currency="SEK")
    products = [make_product(store, price=Decimal(price)) for price in (5, 7)]
    made = place((products[1].pk, 2), (products[0].pk, 1)).json
    answer = client_with_auth.get(f"{URL}{made['orderId']}", headers=buyer_headers)
    assert answer.status_code == 200
    assert list(answer.json) == [*KEYS, "items"]
    assert answer.json == made
    assert '"total":19.0' in answer.text.replace(" ", "")
    for item in answer.json["items"]:
        assert list(item) == ["quantity", "product"]
        assert list(item["product"]) == PRODUCT_KEYS
    assert answer.json["items"] == [
        {
            "quantity": quantity,
            "product": client_with_auth.get(f"/api/v1/products/{product.pk}").json,
        }
        for product, quantity in ((products[1], 2), (products[0], 1))
    ]


def test_a_total_is_what_was_agreed_on_then(client_with_auth, buyer_headers, place):
    product = make_product(price=Decimal(10))
    pk = place((product.pk, 2)).json["orderId"]
    db.update(db.session.get(Product, product.pk), {"price": Decimal(11)})
    shown = client_with_auth.get(f"{URL}{pk}", headers=buyer_headers).json
    assert shown["total"] == 20
    assert shown["items"][0]["product"]["price"] == 11


def test_a_total_is_what_is_to_be_paid(client_with_auth, buyer, buyer_headers):
    coupon = make_coupon(percent_off=15)
    product = make_product(price=Decimal("9.90"))
    order = make_order(product, user=buyer, coupon_code=coupon.code)
    assert client_with_auth.get(f"{URL}{order.pk}", headers=buyer_headers).json["total"] == 8.41


def test_the_list_has_all_in_the_order_of_creation(client_with_auth, buyer, buyer_headers):
    placed = [make_order(user=buyer) for _ in range(3)]
    answer = client_with_auth.get(URL, headers=buyer_headers)
    assert answer.status_code == 200
    assert [one["orderId"] for one in answer.json] == [str(order.pk) for order in placed]
    assert all(list(one) == KEYS for one in answer.json)


@pytest.mark.parametrize("path", ["", "{}"])
def test_a_read_is_one_statement(client_with_auth, buyer, buyer_headers, statements, path):
    made = make_order(make_product(), make_product(), user=buyer)
    client_with_auth.get(URL, headers=buyer_headers)
    with statements() as seen:
        assert (
            client_with_auth.get(f"{URL}{path}".format(made.pk), headers=buyer_headers).status_code
            == 200
        )
    assert len(seen) == 1


def test_the_same_product_on_two_items_is_added_up(client_with_auth, buyer_headers, place):
    product = make_product(price=Decimal("0.35"), stock=5)
    made = place((product.pk, 2), (product.pk, 3))
    assert (made.status_code, made.json["total"]) == (201, 1.75)
    [item] = client_with_auth.get(f"{URL}{made.json['orderId']}", headers=buyer_headers).json[
        "items"
    ]
    assert item["quantity"] == 5
    assert stock_of(product) == 0


def test_an_order_of_many_lines_costs_as_many_statements_as_one_of_few(place, statements):
    store = make_store()
    pks = [make_product(store, stock=5).pk for _ in range(20)]
    place((pks[0], 1))
    costs = []
    for number in (5, 20):
        with statements() as seen:
            assert place(*((pk, 1) for pk in pks[:number])).status_code == 201
        costs.append(len(seen))
    assert costs[0] == costs[1] <= 8


@pytest.mark.parametrize("name", ["productId", "product_id"])
def test_a_product_is_read_by_either_name(client_with_auth, buyer_headers, name):
    items = [{name: str(make_product().pk), "quantity": 1}]
    assert (
        client_with_auth.post(URL, json={"items": items}, headers=buyer_headers).status_code == 201
    )


@pytest.mark.parametrize("ignored", [str(UUID(int=1)), "x", None])
def test_of_both_names_camel_case_wins(client_with_auth, buyer_headers, ignored):
    pk = str(make_product().pk)
    items = [{"productId": pk, "product_id": ignored, "quantity": 1}]
    answer = client_with_auth.post(URL, json={"items": items}, headers=buyer_headers)
    assert answer.status_code == 201
    assert answer.json["items"][0]["product"]["productId"] == pk


@pytest.mark.parametrize("name", ["productId", "product_id"])
def test_an_error_names_the_field_as_the_client_spelled_it(client_with_auth, buyer_headers, name):
    answer = client_with_auth.post(
        URL, json={"items": [{name: "x", "quantity": 0}]}, headers=buyer_headers
    )
    assert answer.status_code == 422
    wrong = {f"#/items/0/{name}", "#/items/0/quantity"}
    assert error_pointers(answer) == wrong


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/items"),
        ({"items": []}, "#/items"),
        ({"items": None}, "#/items"),
        ({"items": {}}, "#/items"),
        ({"items": [{"quantity": 1}]}, "#/items/0/productId"),
        ({"items": [5]}, "#/items/0"),
        *(
            ({"items": [{"productId": str(UUID(int=1)), "quantity": wrong}]}, "#/items/0/quantity")
            for wrong in (0, -1, "0", 1.5, "1.5", "x", "", None, True, [1], 2**31, "1e400", 1e300)
        ),
    ],
)
def test_an_invalid_field_is_reported_with_its_pointer(
    client_with_auth, buyer_headers, body, pointer
):
    answer = client_with_auth.post(URL, json=body, headers=buyer_headers)
    assert answer.status_code == 422
    assert error_pointers(answer) == {pointer}


def test_unknown_products_are_400_with_the_detail_of_v1(place):
    product = make_product(stock=5)
    unknown = [uuid7(), uuid7()]
    answer = place((unknown[0], 1), (product.pk, 1), (unknown[1], 1))
    assert answer.status_code == 400
    told = [f"Product with productId = {pk} not found." for pk in unknown]
    assert answer.json["detail"] == told[0]
    assert [(one["pointer"], one["detail"]) for one in answer.json["errors"]] == [
        ("#/items/0", told[0]),
        ("#/items/2", told[1]),
    ]
    assert stock_of(product) == 5
    assert orders() == []


def test_an_order_beyond_counting_is_refused(place):
    product = make_product(price=Decimal("9999999999.99"))
    answer = place((product.pk, 1000))
    assert (answer.status_code, answer.json["code"]) == (422, "out-of-range")
    absent = place((product.pk, 1000), (uuid7(), 1))
    assert absent.status_code == 400
    assert [one["pointer"] for one in absent.json["errors"]] == ["#/items/0/quantity", "#/items/1"]


def test_products_in_several_currencies_are_refused(place):
    euro = make_product(make_store(currency="EUR"), stock=5)
    krona = make_product(make_store(currency="SEK"), stock=0)
    answer = place((euro.pk, 1), (krona.pk, 1))
    assert (answer.status_code, answer.json["code"]) == (422, "mixed-currencies")
    assert answer.json["detail"] == "The products are in EUR and SEK."
    assert answer.json["errors"][0]["pointer"] == "#/items"
    assert stock_of(euro) == 5
    assert orders() == []


def test_products_of_several_stores_in_one_currency_are_not(place):
    products = [make_product(make_store(currency="SEK")) for _ in range(2)]
    assert place(*((product.pk, 1) for product in products)).status_code == 201


def test_an_order_of_version_2_in_several_currencies_is_not_in_version_1(
    client_with_auth, buyer, buyer_headers
):
    single = make_order(user=buyer)
    order = make_order(
        make_product(make_store(currency="EUR")),
        make_product(make_store(currency="SEK")),
        user=buyer,
    )
    [listed] = client_with_auth.get(URL, headers=buyer_headers).json
    assert listed["orderId"] == str(single.pk)
    for pk in (order.pk, order.pk.hex, f"{order.pk}/"):
        answer = client_with_auth.get(f"{URL}{pk}", headers=buyer_headers)
        assert (answer.status_code, answer.json["code"]) == (409, "mixed-currencies")
        assert f"/api/v2/orders/{order.pk}" in answer.json["detail"]
        assert answer.json["title"] == "Conflict"
    stranger = client_with_auth.get(f"{URL}{order.pk}", headers=sign_in(make_user()))
    assert (stranger.status_code, stranger.json["detail"]) == (404, "Not Found")


def test_out_of_stock_products_are_reported_and_no_stock_is_reserved(place):
    enough, scarce = make_product(stock=5), make_product(stock=1)
    answer = place((enough.pk, 1), (scarce.pk, 3))
    assert (answer.status_code, answer.json["code"]) == (409, "out-of-stock")
    [entry] = answer.json["errors"]
    assert (entry["pointer"], entry["requested"], entry["available"]) == ("#/items/1", 3, 1)
    assert (stock_of(enough), stock_of(scarce)) == (5, 1)


def test_what_is_not_known_is_ignored(client_with_auth, buyer, buyer_headers, place):
    """Coupons above all: the older service had none, so none is used up."""
    coupon = make_coupon(percent_off=50)
    pk = str(uuid7())
    unknown = {"coupon_code": coupon.code, "hero_id": "x", "orderId": pk, "total": 0, "status": 5}
    answer = place((make_product().pk, 1), **unknown)
    assert (answer.status_code, answer.json["total"]) == (201, 10)
    assert answer.json["orderId"] != pk
    kept = db.session.get(Coupon, coupon.pk, populate_existing=True)
    assert kept.remaining_count == kept.init_count


# Who may


def test_one_sees_ones_own_orders_alone(client_with_auth, buyer, buyer_headers):
    own, other = make_order(user=buyer), make_order(user=make_user())
    assert [one["orderId"] for one in client_with_auth.get(URL, headers=buyer_headers).json] == [
        str(own.pk)
    ]
    hidden = client_with_auth.get(f"{URL}{other.pk}", headers=buyer_headers)
    assert (hidden.status_code, hidden.json["detail"]) == (404, "Not Found")


def test_a_merchant_sees_the_orders_of_own_products(client_with_auth, buyer):
    merchant = make_user(role="merchant")
    sold = make_order(make_product(make_store(owner_id=merchant.pk)), user=buyer)
    make_order(user=buyer)
    seller, narrowed = sign_in(merchant), sign_in(merchant, "orders:read")
    assert [one["orderId"] for one in client_with_auth.get(URL, headers=seller).json] == [
        str(sold.pk)
    ]
    assert client_with_auth.get(f"{URL}{sold.pk}", headers=seller).status_code == 200
    assert client_with_auth.get(URL, headers=narrowed).json == []
    assert client_with_auth.get(f"{URL}{sold.pk}", headers=narrowed).status_code == 404


def test_an_admin_sees_all(client_with_auth, buyer):
    order = make_order(user=buyer)
    admin = sign_in(make_user(role="admin"))
    assert [one["orderId"] for one in client_with_auth.get(URL, headers=admin).json] == [
        str(order.pk)
    ]
    assert client_with_auth.get(f"{URL}{order.pk}", headers=admin).status_code == 200


def test_without_a_token_nothing_is_seen_or_placed(client_with_auth, place):
    order = make_order()
    product = make_product()
    assert client_with_auth.get(URL).status_code == 401
    assert client_with_auth.get(f"{URL}{order.pk}").status_code == 401
    assert place((product.pk, 1), headers={}).status_code == 401
    assert len(orders()) == 1


def test_with_open_access_an_order_has_no_user(client):
    body = {"items": [{"productId": str(make_product().pk), "quantity": 1}]}
    assert client.post(URL, json=body).status_code == 201
    assert [order.user_id for order in orders()] == [None]


# What every answer says


def test_a_missing_row_is_404_with_the_detail_of_v1(client_with_auth, buyer_headers):
    answer = client_with_auth.get(f"{URL}{uuid7()}", headers=buyer_headers)
    assert (answer.status_code, answer.json["detail"]) == (404, "Not Found")
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("pk", ["0", "x", "0" * 32, f"{UUID(int=0)}0"])
def test_an_id_that_is_none_is_404(client_with_auth, buyer_headers, pk):
    assert client_with_auth.get(f"{URL}{pk}", headers=buyer_headers).status_code == 404


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_orders_are_not_changed(client_with_auth, buyer, buyer_headers, method):
    order = make_order(user=buyer)
    answer = client_with_auth.open(
        f"{URL}{order.pk}", method=method, json={}, headers=buyer_headers
    )
    assert answer.status_code == 405


def test_a_cancelled_order_is_still_shown(client_with_auth, buyer, buyer_headers):
    order = make_order(user=buyer)
    service.cancel(order)
    assert client_with_auth.get(f"{URL}{order.pk}", headers=buyer_headers).json["total"] == 10


@pytest.mark.parametrize("slash", ["", "/"])
def test_paths_answer_with_and_without_a_slash(client_with_auth, buyer_headers, slash):
    base = "/api/v1/orders"
    body = {"items": [{"productId": str(make_product().pk), "quantity": 1}]}
    assert client_with_auth.get(f"{base}{slash}", headers=buyer_headers).status_code == 200
    made = client_with_auth.post(f"{base}{slash}", json=body, headers=buyer_headers)
    assert made.status_code == 201
    shown = client_with_auth.get(f"{base}/{made.json['orderId']}{slash}", headers=buyer_headers)
    assert shown.status_code == 200


def test_every_answer_says_that_this_is_old_and_what_succeeds_it(
    client_with_auth, buyer_headers, place
):
    made = place((make_product().pk, 1))
    row = f"/api/v2/orders/{made.json['orderId']}"
    found = client_with_auth.get(f"{URL}{made.json['orderId']}", headers=buyer_headers)
    listed = client_with_auth.get(URL, headers=buyer_headers)
    for answer, successor in [
        (made, "/api/v2/orders"),
        (listed, "/api/v2/orders"),
        (found, row),
        (place(), "/api/v2/orders"),
    ]:
        assert answer.headers["Deprecation"].startswith("@")
        assert answer.headers["Link"] == f'<{successor}>; rel="successor-version"'
