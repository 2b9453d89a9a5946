"""Prices: discounts and totals are exact to the cent."""

from decimal import Decimal
from fractions import Fraction

import pytest

from alchemist.domains.orders import pricing
from alchemist.domains.orders.pricing import ItemPrice
from tests.properties import given, st

AMOUNTS = st.integers(0, pricing.MAX_AMOUNT)
WEIGHTS = st.lists(st.one_of(st.integers(0, 5), AMOUNTS), max_size=100)
PERCENTAGES = st.integers(0, 100)
PRICES = st.lists(
    st.builds(ItemPrice, st.sampled_from(["EUR", "JPY", "USD"]), AMOUNTS), max_size=20
)


@st.composite
def discounts(draw):
    """An amount to allocate, and weights whose sum is not less."""
    weights = draw(WEIGHTS)
    return draw(st.integers(0, sum(weights))), weights


@given(discounts())
def test_shares_add_up_to_the_amount(discount):
    amount, weights = discount
    assert sum(pricing.allocate(amount, weights)) == amount


@given(discounts())
def test_no_share_is_negative_or_greater_than_its_weight(discount):
    amount, weights = discount
    shares = pricing.allocate(amount, weights)
    assert len(shares) == len(weights)
    assert all(0 <= share <= weight for share, weight in zip(shares, weights, strict=True))


@given(discounts())
def test_every_share_is_within_a_cent_of_its_exact_proportion(discount):
    amount, weights = discount
    for share, weight in zip(pricing.allocate(amount, weights), weights, strict=True):
        proportion = Fraction(amount * weight, sum(weights) or 1)
        assert abs(share - proportion) < 1


@given(discounts())
def test_the_largest_remainders_are_rounded_up(discount):
    """No share that was rounded down has a larger remainder than one that was rounded up."""
    amount, weights = discount
    exact = [Fraction(amount * weight, sum(weights) or 1) for weight in weights]
    remainders = [exact_share - exact_share.__floor__() for exact_share in exact]
    shares = pricing.allocate(amount, weights)
    rounded_up = [share > exact_share for share, exact_share in zip(shares, exact, strict=True)]
    up_remainders = [
        remainder for remainder, is_raised in zip(remainders, rounded_up, strict=True) if is_raised
    ]
    down_remainders = [
        remainder
        for remainder, is_raised in zip(remainders, rounded_up, strict=True)
        if not is_raised
    ]
    assert not up_remainders or not down_remainders or min(up_remainders) >= max(down_remainders)


def test_the_first_of_equal_remainders_gets_the_cent():
    assert pricing.allocate(2, [1, 1, 1]) == [1, 1, 0]


def test_the_largest_remainder_gets_the_cent_at_any_position():
    assert pricing.allocate(5, [10, 10, 29]) == [1, 1, 3]


def test_no_weights_give_no_shares():
    assert pricing.allocate(0, []) == []


@given(WEIGHTS)
def test_zero_is_allocated_as_zeros(weights):
    assert pricing.allocate(0, weights) == [0] * len(weights)


@given(WEIGHTS)
def test_the_sum_of_the_weights_is_allocated_as_the_weights(weights):
    assert pricing.allocate(sum(weights), weights) == weights


@pytest.mark.parametrize(
    ("amount", "percentage", "expected"),
    [
        (1, 49, 0),
        (1, 50, 1),
        (3, 50, 2),
        (10, 15, 2),
        (10, 14, 1),
        (50, 1, 1),
        (49, 1, 0),
        (999, 33, 330),
        (pricing.MAX_AMOUNT, 99, 989_999_999_999),
    ],
)
def test_half_a_cent_is_rounded_up(amount, percentage, expected):
    assert pricing.calculate_percentage(amount, percentage) == expected


@given(AMOUNTS, PERCENTAGES)
def test_a_percentage_is_exact_to_half_a_cent_and_not_more_than_the_amount(amount, percentage):
    result = pricing.calculate_percentage(amount, percentage)
    assert -Fraction(1, 2) < result - Fraction(amount * percentage, 100) <= Fraction(1, 2)
    assert 0 <= result <= amount


@given(AMOUNTS)
def test_0_percent_is_zero_and_100_percent_is_the_amount(amount):
    assert (pricing.calculate_percentage(amount, 0), pricing.calculate_percentage(amount, 100)) == (
        0,
        amount,
    )


@given(PRICES, PERCENTAGES)
def test_totals_are_the_sums_of_the_items_in_each_currency(prices, percentage):
    pricing.apply_discount(prices, percentage)
    totals = {total["currency"]: total for total in pricing.calculate_totals(prices)}
    assert set(totals) == {price.currency for price in prices}
    for currency, total in totals.items():
        same_currency = [price for price in prices if price.currency == currency]
        for name in ("subtotal", "discount", "total"):
            added = sum(getattr(price, name) for price in same_currency)
            assert pricing.to_minor_units(Decimal(total[name]), currency) == added


@given(PRICES, PERCENTAGES)
def test_the_discount_is_calculated_for_each_currency(prices, percentage):
    pricing.apply_discount(prices, percentage)
    for totals in pricing.calculate_totals(prices):
        subtotal, discount, total = (
            pricing.to_minor_units(Decimal(totals[name]), totals["currency"])
            for name in ("subtotal", "discount", "total")
        )
        assert discount == pricing.calculate_percentage(subtotal, percentage)
        assert total == subtotal - discount


@given(PRICES, PERCENTAGES)
def test_no_item_has_a_negative_total(prices, percentage):
    pricing.apply_discount(prices, percentage)
    assert all(0 <= price.discount <= price.subtotal for price in prices)


@given(st.lists(st.sampled_from(["EUR", "USD"]), max_size=5), PERCENTAGES)
def test_free_items_get_no_discount(currencies, percentage):
    prices = [ItemPrice(currency, 0) for currency in currencies]
    pricing.apply_discount(prices, percentage)
    assert all(price.discount == price.total == 0 for price in prices)


def test_a_free_item_gets_no_share_of_the_discount():
    prices = [ItemPrice("EUR", 0), ItemPrice("EUR", 5), ItemPrice("EUR", 0)]
    pricing.apply_discount(prices, 50)
    assert [price.discount for price in prices] == [0, 3, 0]


def test_totals_are_sorted_by_currency_and_have_two_decimals():
    prices = [ItemPrice("USD", 5), ItemPrice("EUR", 100), ItemPrice("USD", pricing.MAX_AMOUNT - 5)]
    assert pricing.calculate_totals(prices) == [
        {"currency": "EUR", "subtotal": "1.00", "discount": "0.00", "total": "1.00"},
        {
            "currency": "USD",
            "subtotal": "9999999999.99",
            "discount": "0.00",
            "total": "9999999999.99",
        },
    ]


@given(AMOUNTS, st.sampled_from(["JPY", "EUR", "KWD", "CLF"]))
def test_an_amount_in_minor_units_is_exact(units, currency):
    assert pricing.to_minor_units(pricing.from_minor_units(units, currency), currency) == units


@pytest.mark.parametrize(
    ("currency", "amount"), [("JPY", "1000"), ("EUR", "10.00"), ("KWD", "1.000"), ("CLF", "0.1000")]
)
def test_an_amount_has_the_decimals_of_its_currency(currency, amount):
    assert str(pricing.from_minor_units(1000, currency)) == amount


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ([ItemPrice("EUR", pricing.MAX_AMOUNT)], None),
        ([ItemPrice("EUR", pricing.MAX_AMOUNT), ItemPrice("USD", pricing.MAX_AMOUNT)], None),
        ([ItemPrice("EUR", pricing.MAX_AMOUNT), ItemPrice("EUR", 1)], "EUR"),
        ([], None),
    ],
)
def test_the_maximum_amount_applies_to_each_currency(prices, expected):
    assert pricing.find_excessive_currency(prices) == expected
