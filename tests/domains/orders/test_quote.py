"""A quote equals the answer to placing the order, and changes nothing."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from alchemist import database as db
from alchemist.domains.orders.models import Order
from tests.answers import pointers_and_codes
from tests.domains.orders.shop import dump, item, remaining, stock
from tests.factories import make_coupon, make_hero, make_product, make_store, sign_in

DIFFERENT = {"placed_at", "expires_at", "created_at", "updated_at"}


@pytest.fixture
def order_body(buyer):
    """The body of an order with all optional fields."""
    items = [
        item(make_product(make_store(currency=currency), price=Decimal("3.33"), stock=9), 3)
        for currency in ("EUR", "USD", "EUR")
    ]
    coupon = make_coupon(percent_off=15, per_user_limit=1)
    hero = make_hero(user_id=buyer.pk)
    totals = [{"currency": "EUR", "total": "16.98"}, {"currency": "USD", "total": "8.49"}]
    return {
        "items": items,
        "coupon_code": coupon.code,
        "hero_id": str(hero.pk),
        "expected_totals": totals,
    }


def test_a_quote_equals_the_placed_order(place, quote, order_body):
    quoted, placed = quote(**order_body), place(**order_body)
    assert (quoted.status_code, placed.status_code) == (200, 201), quoted.text
    assert set(placed.json) - set(quoted.json) == {"pk", "allowed_transitions"}
    differing = {name for name in quoted.json if quoted.json[name] != placed.json[name]}
    assert differing <= DIFFERENT


def test_a_quote_has_an_etag_and_no_location(quote, order_body):
    answer = quote(**order_body)
    assert answer.headers["ETag"]
    assert "Location" not in answer.headers


def test_a_quote_changes_nothing(quote, order_body):
    before = dump()
    for _ in range(3):
        assert quote(**order_body).status_code == 200
    assert dump() == before


def test_a_quote_with_a_key_stores_no_answer(quote, order_body, buyer_headers):
    before = dump()
    answer = quote(**order_body, headers=buyer_headers | {"Idempotency-Key": "one"})
    assert answer.status_code == 200
    assert dump() == before


def test_a_quoted_order_does_not_exist(quote, order_body):
    assert quote(**order_body).status_code == 200
    assert db.session.scalar(select(func.count()).select_from(Order)) == 0


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"items": []}, 422),
        ({"expected_totals": []}, 409),
        ({"coupon_code": "Gone"}, 409),
        ({"coupon_code": "Gone", "expected_totals": []}, 409),
    ],
)
def test_a_quote_has_the_same_errors_as_placing_the_order(place, quote, admin, values, status):
    make_coupon(code="Gone", init_count=0)
    product = make_product(stock=1)
    answers = [call(item(product, 2), **values, headers=admin) for call in (quote, place)]
    assert [answer.status_code for answer in answers] == [status] * 2
    assert pointers_and_codes(answers[0]) == pointers_and_codes(answers[1])
    bodies = [
        {name: value for name, value in answer.json.items() if name != "request_id"}
        for answer in answers
    ]
    assert bodies[0] == bodies[1]


def test_unknown_and_unusable_codes_are_one_error_of_a_quote(quote):
    make_coupon(code="Gone", init_count=0)
    make_coupon(code="Past", valid_until=datetime(2020, 1, 1, tzinfo=UTC))
    product = make_product()
    problems = []
    for code in ("Nowhere", "Gone", "Past"):
        answer = quote(item(product), coupon_code=code)
        assert answer.status_code == 409
        problems.append({k: v for k, v in answer.json.items() if k != "request_id"})
    assert problems[0] == problems[1] == problems[2]
    assert problems[0]["errors"] == [
        {
            "pointer": "#/coupon_code",
            "code": "coupon-not-valid",
            "detail": "You cannot use this coupon.",
        }
    ]


def test_those_who_may_read_coupons_learn_the_reason_from_a_quote(quote, admin):
    make_coupon(code="Gone", init_count=0)
    answers = [
        quote(item(make_product()), coupon_code=code, headers=admin) for code in ("Nowhere", "Gone")
    ]
    assert pointers_and_codes(answers[0]) == {("#/coupon_code", "unknown-reference")}
    assert pointers_and_codes(answers[1]) == {("#/coupon_code", "coupon-exhausted")}


def test_a_rejected_quote_changes_nothing(quote):
    product, coupon = make_product(stock=1), make_coupon(percent_off=1)
    before = dump()
    assert quote(item(product, 2), coupon_code=coupon.code).status_code == 409
    assert dump() == before
    assert (stock(product), remaining(coupon)) == (1, 10)


def test_a_quote_with_a_coupon_needs_the_permission_to_redeem(quote, buyer):
    narrowed = sign_in(buyer, "orders:write")
    answer = quote(item(make_product()), coupon_code=make_coupon().code, headers=narrowed)
    assert answer.status_code == 403


def test_a_quote_needs_a_token(quote):
    assert quote(item(make_product()), headers={}).status_code == 401


def test_get_of_the_quote_path_is_405(client_with_auth, buyer_headers):
    answer = client_with_auth.get("/api/v2/orders/quote", headers=buyer_headers)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
