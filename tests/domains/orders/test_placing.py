"""Placing an order: prices, stock, coupon and hero."""

from decimal import Decimal
from itertools import pairwise
from uuid import UUID

import pytest
from sqlalchemy import func, select

from alchemist import database as db
from alchemist.domains.coupons.models import Redemption
from alchemist.domains.orders.models import Order, OrderItem
from tests.answers import pointers_and_codes
from tests.domains.orders.shop import URL, coupon_mismatches, item, remaining, stock
from tests.factories import make_coupon, make_hero, make_product, make_store, make_user, sign_in

FIELDS = {
    *(
        "pk",
        "status",
        "placed_at",
        "expires_at",
        "user_id",
        "hero_id",
        "coupon_code",
        "items",
        "totals",
    ),
    *("allowed_transitions", "created_at", "updated_at"),
}
ITEM_FIELDS = {"product_id", "name", "store_id", "currency", "quantity", "unit_price", "total"} | {
    "fulfilled_at"
}


def prices(answer):
    assert answer.status_code == 201, answer.text
    return [(item["unit_price"], item["total"]) for item in answer.json["items"]]


def test_a_new_order_has_every_field(place, buyer):
    product = make_product(name="Moss tea", price=Decimal("2.50"))
    answer = place(item(product, 2))
    assert answer.status_code == 201, answer.text
    assert set(answer.json) == FIELDS
    assert answer.json["status"] == "placed"
    assert answer.json["user_id"] == str(buyer.pk)
    assert answer.json["hero_id"] is answer.json["coupon_code"] is None
    assert answer.json["allowed_transitions"] == ["pay", "cancel"]
    assert answer.json["items"] == [
        {
            "product_id": str(product.pk),
            "name": "Moss tea",
            "store_id": str(product.store_id),
            "currency": "EUR",
            "quantity": 2,
            "unit_price": "2.50",
            "total": "5.00",
            "fulfilled_at": None,
        }
    ]
    assert answer.json["totals"] == [
        {"currency": "EUR", "subtotal": "5.00", "discount": "0.00", "total": "5.00"}
    ]


def test_location_is_the_url_of_the_new_order(client_with_auth, place, buyer_headers):
    placed = place(item(make_product()))
    fetched = client_with_auth.get(placed.location, headers=buyer_headers)
    assert (placed.location, fetched.json) == (f"{URL}/{placed.json['pk']}", placed.json)
    assert fetched.headers["ETag"] == placed.headers["ETag"]


def test_with_open_access_an_order_has_no_user(client):
    answer = client.post(URL, json={"items": [item(make_product())]})
    assert (answer.status_code, answer.json["user_id"]) == (201, None)


def test_items_are_in_the_order_of_the_request(place):
    products = [make_product() for _ in range(6)]
    pks = [str(products[i].pk) for i in (3, 0, 5, 1, 4, 2)]
    answer = place(*(item(pk) for pk in pks))
    assert [item["product_id"] for item in answer.json["items"]] == pks


# Prices


def test_an_order_keeps_its_prices_after_a_product_has_changed(
    client_with_auth, place, buyer_headers, admin
):
    product = make_product(price=Decimal("2.50"))
    placed = place(item(product, 2)).json
    url = f"/api/v2/products/{product.pk}"
    changed = client_with_auth.patch(url, json={"price": "9.00"}, headers=admin | {"If-Match": "*"})
    assert changed.status_code == 200
    assert client_with_auth.get(f"{URL}/{placed['pk']}", headers=buyer_headers).json == placed


def test_an_order_keeps_its_currency_after_a_store_has_changed(
    client_with_auth, place, buyer_headers, admin
):
    store = make_store(currency="EUR")
    placed = place(item(make_product(store))).json
    url = f"/api/v2/stores/{store.pk}"
    changed = client_with_auth.patch(
        url, json={"currency": "JPY"}, headers=admin | {"If-Match": "*"}
    )
    assert changed.json["currency"] == "JPY"
    fetched = client_with_auth.get(f"{URL}/{placed['pk']}", headers=buyer_headers).json
    assert (fetched["items"], fetched["totals"]) == (placed["items"], placed["totals"])


def test_an_order_keeps_the_names_and_the_coupon_code_of_its_placing(
    client_with_auth, place, buyer_headers, admin
):
    product, coupon = make_product(name="Moss tea"), make_coupon(code="Welcome10")
    placed = place(item(product), coupon_code="welcome10")
    for path, changes in (
        (f"products/{product.pk}", {"name": "Fern tea"}),
        (f"coupons/{coupon.pk}", {"code": "Goodbye10"}),
    ):
        headers = admin | {"If-Match": "*"}
        answer = client_with_auth.patch(f"/api/v2/{path}", json=changes, headers=headers)
        assert answer.status_code == 200
    fetched = client_with_auth.get(placed.location, headers=buyer_headers)
    assert fetched.json["items"][0]["name"] == "Moss tea"
    assert fetched.json["coupon_code"] == "Welcome10"
    assert fetched.headers["ETag"] == placed.headers["ETag"]


def test_quantities_of_the_same_product_are_added_up(place):
    tea, soup = make_product(stock=5, price=Decimal(1)), make_product()
    answer = place(item(tea, 2), item(soup), item(str(tea.pk).upper(), 3))
    quantities = [(item["product_id"], item["quantity"]) for item in answer.json["items"]]
    assert quantities == [(str(tea.pk), 5), (str(soup.pk), 1)]
    assert (answer.json["items"][0]["total"], stock(tea)) == ("5.00", 0)


def test_each_currency_has_its_own_total(place):
    coupon = make_coupon(percent_off=50)
    euros, yen = make_store(currency="EUR"), make_store(currency="JPY")
    items = [
        item(make_product(euros, price=Decimal("0.01"))),
        item(make_product(yen, price=Decimal(100)), 3),
        item(make_product(euros, price=Decimal("0.02"))),
    ]
    answer = place(*items, coupon_code=coupon.code)
    assert answer.json["totals"] == [
        {"currency": "EUR", "subtotal": "0.03", "discount": "0.02", "total": "0.01"},
        {"currency": "JPY", "subtotal": "300", "discount": "150", "total": "150"},
    ]
    assert [item["total"] for item in answer.json["items"]] == ["0.00", "150", "0.01"]


@pytest.mark.parametrize("percent_off", [None, 0, 1, 33, 99, 100])
def test_item_totals_add_up_to_the_order_total(place, percent_off):
    coupon = make_coupon(percent_off=percent_off)
    store = make_store()
    products = [
        make_product(store, price=Decimal(cents) / 100) for cents in (1, 0, 333, 99, 1, 1005)
    ]
    answer = place(*(item(product, 3) for product in products), coupon_code=coupon.code)
    item_total = sum(Decimal(item["total"]) for item in answer.json["items"])
    [total] = answer.json["totals"]
    assert f"{item_total:.2f}" == total["total"]
    assert Decimal(total["subtotal"]) - Decimal(total["discount"]) == item_total


def test_a_free_product_can_be_ordered(place):
    assert prices(place(item(make_product(price=Decimal(0)), 7))) == [("0.00", "0.00")]


def test_a_coupon_of_100_percent_makes_the_order_free(place):
    answer = place(item(make_product()), coupon_code=make_coupon(percent_off=100).code)
    assert answer.json["totals"][0]["total"] == "0.00"


def test_the_greatest_price_can_be_ordered(place):
    product = make_product(price=Decimal("9999999999.99"))
    assert prices(place(item(product))) == [("9999999999.99", "9999999999.99")]


def test_the_greatest_quantity_can_be_ordered(place):
    product = make_product(price=Decimal("0.01"), stock=100_000_000)
    answer = place(*[item(product, 1_000_000)] * 100)
    assert answer.json["items"][0]["quantity"] == 100_000_000
    assert stock(product) == 0


@pytest.mark.parametrize(
    ("items", "pointer"),
    [
        ([("9999999999.99", 2)], "#/items/0/quantity"),
        ([("0.01", 1), ("10000.00", 1_000_000)], "#/items/1/quantity"),
        ([("9999999999.99", 1), ("0.01", 1)], "#/items"),
    ],
)
def test_a_price_of_more_than_12_digits_is_422(place, items, pointer):
    store, coupon = make_store(), make_coupon(percent_off=100)
    order_items = [item(make_product(store, price=Decimal(price)), n) for price, n in items]
    answer = place(*order_items, coupon_code=coupon.code)
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {(pointer, "out-of-range")}
    assert remaining(coupon) == 10


# Stock


def test_an_order_decrements_the_stock(place):
    product = make_product(stock=5)
    place(item(product, 2))
    assert stock(product) == 3


def test_the_last_piece_can_be_ordered(client_with_auth, place):
    product = make_product(stock=3)
    assert place(item(product, 3)).status_code == 201
    fetched = client_with_auth.get("/api/v2/products", query_string={"in_stock": "true"})
    assert (stock(product), fetched.json) == (0, [])


def test_an_unlimited_stock_stays_unlimited(place):
    product = make_product(stock=None)
    assert place(item(product, 1_000_000)).status_code == 201
    assert stock(product) is None


@pytest.mark.parametrize(("stock", "reserved"), [(9, 4), (None, 0)])
def test_an_item_stores_the_quantity_reserved_from_the_stock(place, stock, reserved):
    place(item(make_product(stock=stock), 4))
    assert db.session.scalar(select(OrderItem.taken)) == reserved


def test_reserving_stock_changes_the_etag_of_the_product(client_with_auth, place):
    url = f"/api/v2/products/{(product := make_product(stock=3)).pk}"
    before = client_with_auth.get(url)
    place(item(product))
    after = client_with_auth.get(url)
    assert after.headers["ETag"] != before.headers["ETag"]
    assert after.json["updated_at"] > before.json["updated_at"]


# Coupons and heroes


@pytest.mark.parametrize("code", ["Welcome10", "WELCOME10", " welcome10 ", "\uff37el\u200bcome10"])
def test_a_coupon_code_is_case_insensitive(place, buyer, code):
    coupon = make_coupon(code="Welcome10", percent_off=10)
    answer = place(item(make_product()), coupon_code=code)
    assert answer.json["coupon_code"] == "Welcome10"
    assert answer.json["totals"][0]["discount"] == "1.00"
    redemption = db.session.scalars(select(Redemption)).one()
    columns = (
        redemption.coupon_id,
        redemption.user_id,
        redemption.order_id,
        redemption.released_at,
    )
    assert columns == (coupon.pk, buyer.pk, UUID(answer.json["pk"]), None)
    assert (remaining(coupon), coupon_mismatches()) == (9, [])


def test_a_coupon_without_a_percentage_gives_no_discount(place):
    coupon = make_coupon()
    answer = place(item(make_product()), coupon_code=coupon.code)
    assert answer.json["totals"][0]["discount"] == "0.00"
    assert remaining(coupon) == 9


def test_optional_fields_may_be_null(place):
    nothing = {"coupon_code": None, "hero_id": None, "expected_totals": None}
    assert place(item(make_product()), **nothing).status_code == 201


def test_a_coupon_code_needs_the_permission_to_redeem(place, buyer):
    coupon = make_coupon()
    narrowed = sign_in(buyer, "orders:write")
    answer = place(item(make_product()), coupon_code=coupon.code, headers=narrowed)
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "coupons:redeem"
    assert remaining(coupon) == 10
    assert place(item(make_product()), headers=narrowed).status_code == 201


def test_an_order_can_be_for_a_hero_of_the_caller(place, buyer):
    hero = make_hero(user_id=buyer.pk)
    assert place(item(make_product()), hero_id=str(hero.pk)).json["hero_id"] == str(hero.pk)


@pytest.mark.parametrize("is_owned", [True, False])
def test_an_order_for_a_hero_of_another_user_is_403(place, is_owned):
    product = make_product(stock=3)
    hero = make_hero(user_id=make_user().pk if is_owned else None)
    answer = place(item(product), hero_id=str(hero.pk))
    assert answer.status_code == 403
    assert answer.json["errors"][0]["permission"] == "heroes:write:any"
    assert stock(product) == 3


def test_an_admin_can_order_for_any_hero(place, admin):
    hero = make_hero(user_id=make_user().pk)
    answer = place(item(make_product()), hero_id=str(hero.pk), headers=admin)
    assert answer.json["hero_id"] == str(hero.pk)


def test_the_user_cannot_be_set_by_the_client(place):
    answer = place(item(make_product()), user_id=str(make_user().pk))
    assert pointers_and_codes(answer) == {("#/user_id", "unknown-field")}


# Statements


def test_placing_uses_the_same_statements_for_any_number_of_items(client, statements):
    coupon, hero = make_coupon(percent_off=7, per_user_limit=9), make_hero()
    counts = []
    for length in (1, 5, 50):
        items = [item(make_product(stock=9)) for _ in range(length)]
        body = {"items": items, "coupon_code": coupon.code, "hero_id": str(hero.pk)}
        with statements() as executed:
            assert client.post(URL, json=body).status_code == 201
        counts.append(len(executed))
    assert counts[0] == counts[1] == counts[2] <= 8


def test_an_order_of_products_alone_is_placed_and_audited_with_four_statements(client, statements):
    items = [item(make_product(stock=9)) for _ in range(5)]
    with statements() as executed:
        assert client.post(URL, json={"items": items}).status_code == 201
    tables = ["UPDATE products", "INSERT INTO orders", "FROM orders", "INSERT INTO audit_log"]
    assert len(executed) == len(tables)
    assert all(table in sql for table, sql in zip(tables, executed, strict=True))


def test_products_are_locked_in_the_order_of_their_pks(client, statements):
    with statements() as executed:
        client.post(URL, json={"items": [item(make_product(stock=1)), item(make_product())]})
    [statement] = [sql for sql in executed if "UPDATE products" in sql]
    assert "MATERIALIZED" in statement
    assert "ORDER BY products.pk FOR NO KEY UPDATE" in " ".join(statement.split())


def test_pks_of_orders_are_ascending(place):
    product = make_product(stock=20)
    pks = [place(item(product)).json["pk"] for _ in range(3)]
    assert all(pk < next_pk for pk, next_pk in pairwise(pks))
    assert db.session.scalar(select(func.count()).select_from(Order)) == 3
