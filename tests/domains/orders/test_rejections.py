"""Orders that cannot be placed: all reasons are reported together, and nothing changes."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from uuid_utils.compat import uuid7

from alchemist.domains.coupons import service
from tests.answers import error_pointers, pointers_and_codes
from tests.domains.orders.shop import coupon_mismatches, dump, item, remaining, stock
from tests.factories import make_coupon, make_order, make_product, make_store

LATER = datetime.now(UTC) + timedelta(days=1)
EARLIER = datetime.now(UTC) - timedelta(days=1)


def entries(answer, code):
    return [entry for entry in answer.json["errors"] if entry["code"] == code]


# 422


def test_all_validation_errors_are_reported_together(place):
    known, unknown = make_product(), uuid7()
    answer = place(
        item(known, 0),
        item(unknown),
        item(known),
        item(unknown, "1"),
        coupon_code="Nowhere",
        hero_id=str(unknown),
        expected_totals=[{"currency": "EU", "total": 1}],
    )
    assert answer.status_code == 422
    assert pointers_and_codes(answer) == {
        ("#/items/0/quantity", "out-of-range"),
        ("#/items/1/product_id", "unknown-reference"),
        ("#/items/3/product_id", "unknown-reference"),
        ("#/items/3/quantity", "wrong-type"),
        ("#/coupon_code", "unknown-reference"),
        ("#/hero_id", "unknown-reference"),
        ("#/expected_totals/0/currency", "not-one-of"),
        ("#/expected_totals/0/total", "wrong-type"),
    }


@pytest.mark.parametrize("hero_id", [None, str(uuid7())], ids=["no hero", "unknown hero"])
def test_all_unknown_references_are_reported_together(place, hero_id):
    answer = place(*map(item, [uuid7(), make_product(), pk := uuid7(), pk]), hero_id=hero_id)
    assert answer.status_code == 422
    unknown = {f"#/items/{index}/product_id" for index in (0, 2, 3)}
    assert error_pointers(answer) == unknown | ({"#/hero_id"} if hero_id else set())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"items": []}, ("#/items", "too-short")),
        ({"items": None}, ("#/items", "not-nullable")),
        ({"items": {}}, ("#/items", "wrong-type")),
        ({"items": [None]}, ("#/items/0", "not-nullable")),
        ({"items": ["x"]}, ("#/items/0", "wrong-type")),
        ({"items": [{"quantity": 1}]}, ("#/items/0/product_id", "required")),
        ({"coupon_code": ""}, ("#/coupon_code", "too-short")),
        ({"coupon_code": "a" * 65}, ("#/coupon_code", "too-long")),
        ({"coupon_code": 1}, ("#/coupon_code", "wrong-type")),
        ({"hero_id": "x"}, ("#/hero_id", "wrong-type")),
        ({"expected_totals": {}}, ("#/expected_totals", "wrong-type")),
        ({"status": "paid"}, ("#/status", "unknown-field")),
        ({"placed_at": "2026-01-01T00:00:00Z"}, ("#/placed_at", "unknown-field")),
        ({"totals": []}, ("#/totals", "unknown-field")),
    ],
)
def test_an_invalid_field_is_422(place, values, expected):
    answer = place(item(make_product()), **values)
    assert answer.status_code == 422, answer.text
    assert pointers_and_codes(answer) == {expected}


@pytest.mark.parametrize("quantity", [0, -1, 1_000_001, 2**31, 2**63, 10**100, 1.5, True, "1"])
def test_an_invalid_quantity_is_422(place, quantity):
    product = make_product(stock=5)
    answer = place(item(product, quantity))
    assert answer.status_code == 422
    assert error_pointers(answer) == {"#/items/0/quantity"}
    assert stock(product) == 5


def test_the_unit_price_cannot_be_set_by_the_client(place):
    answer = place(item(make_product()) | {"unit_price": "0.01"})
    assert pointers_and_codes(answer) == {("#/items/0/unit_price", "unknown-field")}


def test_an_order_without_items_is_422(place):
    assert pointers_and_codes(place(item(make_product()), items=None)) == {
        ("#/items", "not-nullable")
    }


def test_an_order_has_100_items_at_most(place):
    product = make_product()
    assert place(*[item(product)] * 100).status_code == 201
    answer = place(*[item(product)] * 101)
    assert (answer.status_code, pointers_and_codes(answer)) == (422, {("#/items", "too-long")})


def test_422_precedes_409(place):
    sold_out, coupon = make_product(stock=0), make_coupon(init_count=0)
    answer = place(item(sold_out), item(sold_out, 0), coupon_code=coupon.code)
    assert (answer.status_code, pointers_and_codes(answer)) == (
        422,
        {("#/items/1/quantity", "out-of-range")},
    )


@pytest.mark.parametrize("currencies", [["EUR", "EUR"], ["EUR", "USD", "EUR"]])
def test_a_repeated_currency_in_expected_totals_is_422(place, currencies):
    """Two expected totals in one currency would contradict each other."""
    expected = [{"currency": currency, "total": "10.00"} for currency in currencies]
    answer = place(item(make_product()), expected_totals=expected)
    assert answer.status_code == 422
    pointer = f"#/expected_totals/{len(currencies) - 1}"
    assert pointers_and_codes(answer) == {(pointer, "duplicate")}


# 409


def test_out_of_stock_errors_have_the_available_quantity(place):
    low, enough, empty = make_product(stock=3), make_product(stock=9), make_product(stock=0)
    answer = place(item(low, 4), item(enough, 9), item(empty), item(make_product()))
    assert (answer.status_code, answer.json["code"]) == (409, "out-of-stock")
    quantities = [
        (error["pointer"], error["requested"], error["available"])
        for error in answer.json["errors"]
    ]
    assert quantities == [("#/items/0", 4, 3), ("#/items/2", 1, 0)]
    assert [stock(product) for product in (low, enough, empty)] == [3, 9, 0]


def test_items_of_the_same_product_are_one_out_of_stock_error(place):
    product = make_product(stock=3)
    answer = place(item(make_product()), item(product, 2), item(product, 2))
    [error] = answer.json["errors"]
    assert (error["pointer"], error["requested"], error["available"]) == ("#/items/1", 4, 3)


def test_all_conflicts_are_reported_together(place):
    product, coupon = make_product(stock=1), make_coupon(init_count=0, valid_until=EARLIER)
    answer = place(
        item(product, 2),
        coupon_code=coupon.code,
        expected_totals=[{"currency": "EUR", "total": "1.00"}],
    )
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert pointers_and_codes(answer) == {
        ("#/items/0", "out-of-stock"),
        ("#/coupon_code", "coupon-exhausted"),
        ("#/coupon_code", "coupon-not-valid"),
        ("#/expected_totals", "price-changed"),
    }


def test_a_coupon_that_becomes_valid_while_it_is_rejected_is_a_conflict(place, monkeypatch):
    coupon = make_coupon(valid_from=LATER, percent_off=50)
    monkeypatch.setattr(service, "_rejection_reasons", lambda *_: ())
    answer = place(item(make_product()), coupon_code=coupon.code)
    assert (answer.status_code, pointers_and_codes(answer)) == (
        409,
        {("#/coupon_code", "coupon-not-valid")},
    )


def test_an_exhausted_coupon_is_a_conflict(place):
    product, coupon = make_product(stock=1), make_coupon(init_count=7, remaining_count=0)
    answer = place(item(product), coupon_code=coupon.code)
    assert (answer.status_code, answer.json["code"]) == (409, "coupon-exhausted")
    assert "7" in answer.json["errors"][0]["detail"]
    assert stock(product) == 1


@pytest.mark.parametrize("period", [{"valid_from": LATER}, {"valid_until": EARLIER}])
def test_a_coupon_outside_its_period_of_validity_is_a_conflict(place, period):
    product, coupon = make_product(stock=1), make_coupon(**period)
    answer = place(item(product), coupon_code=coupon.code)
    assert (answer.status_code, answer.json["code"]) == (409, "coupon-not-valid")
    [instant] = period.values()
    assert instant.isoformat() in answer.json["errors"][0]["detail"]
    assert (stock(product), remaining(coupon)) == (1, 10)


def test_a_user_reaches_the_limit_of_a_coupon(place, admin):
    coupon = make_coupon(per_user_limit=2)
    answers = [place(item(make_product()), coupon_code=coupon.code) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert answers[2].json["code"] == "coupon-limit-reached"
    by_admin = place(item(make_product()), coupon_code=coupon.code, headers=admin)
    assert by_admin.status_code == 201
    assert (remaining(coupon), coupon_mismatches()) == (7, [])


def test_with_open_access_all_callers_share_the_limit_of_a_coupon(client):
    coupon, product = make_coupon(per_user_limit=1), make_product()
    body = {"items": [item(product)], "coupon_code": coupon.code}
    answers = [client.post("/api/v2/orders", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]


# Expected totals


@pytest.mark.parametrize("total", ["20.00", "20", "20.0"])
def test_an_order_with_the_expected_total_is_placed(place, total):
    expected = [{"currency": "EUR", "total": total}]
    assert place(item(make_product(), 2), expected_totals=expected).status_code == 201


def test_expected_totals_may_be_in_any_order(place):
    products = [make_product(make_store(currency=currency)) for currency in ("EUR", "USD")]
    expected = [{"currency": currency, "total": "10.00"} for currency in ("USD", "EUR")]
    assert place(*map(item, products), expected_totals=expected).status_code == 201


def test_the_expected_total_includes_the_discount(place):
    coupon = make_coupon(percent_off=25)
    expected = [{"currency": "EUR", "total": "7.50"}]
    answer = place(item(make_product()), coupon_code=coupon.code, expected_totals=expected)
    assert answer.status_code == 201


def test_the_expected_total_may_be_zero(place):
    expected = [{"currency": "EUR", "total": "0"}]
    answer = place(item(make_product(price=Decimal(0))), expected_totals=expected)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "expected",
    [
        [],
        [("EUR", "20.01")],
        [("EUR", "19.99")],
        [("USD", "20.00")],
        [("EUR", "20.00"), ("USD", "0.00")],
    ],
)
def test_a_price_mismatch_has_the_current_totals(place, expected):
    product = make_product(stock=2)
    expected_totals = [{"currency": currency, "total": total} for currency, total in expected]
    answer = place(item(product, 2), expected_totals=expected_totals)
    assert (answer.status_code, answer.json["code"]) == (409, "price-changed")
    [error] = answer.json["errors"]
    assert error["totals"] == [{"currency": "EUR", "total": "20.00"}]
    assert "20.00 EUR" in error["detail"]
    assert stock(product) == 2


@pytest.mark.parametrize("total", ["-1", "-0", "1.005", "10000000000.00", "1e3", "NaN", ""])
def test_an_expected_total_that_is_no_amount_of_money_is_422(place, total):
    answer = place(item(make_product()), expected_totals=[{"currency": "EUR", "total": total}])
    assert answer.status_code == 422
    assert error_pointers(answer) == {"#/expected_totals/0/total"}


# Atomicity


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "one"}])
def test_an_order_that_fails_on_its_last_item_changes_nothing(place, buyer_headers, key):
    coupon = make_coupon(percent_off=10)
    products = [make_product(stock=9) for _ in range(4)]
    sold_out = make_product(stock=0)
    make_order(products[0])
    before = dump()
    answer = place(
        *map(item, [*products, sold_out]), coupon_code=coupon.code, headers=buyer_headers | key
    )
    assert answer.status_code == 409
    added = [row for row in dump() if row not in before]
    assert len(added) == len(key)
    assert [row for row in before if row not in dump()] == []
    assert (remaining(coupon), [stock(product) for product in products]) == (10, [8, 9, 9, 9])
