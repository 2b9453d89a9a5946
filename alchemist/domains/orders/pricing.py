"""Prices, discounts and totals of an order; amounts are integers in cents, 1/100 of a currency."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

CENT = Decimal("0.01")
# The greatest value of NUMERIC(12, 2), in cents.
MAX_AMOUNT = 999_999_999_999


@dataclass
class ItemPrice:
    """The price of one order item: quantity times unit price, and the discount on it."""

    currency: str
    subtotal: int
    discount: int = 0

    @property
    def total(self) -> int:
        return self.subtotal - self.discount


def to_cents(amount: Decimal) -> int:
    return int(amount / CENT)


def from_cents(cents: int) -> Decimal:
    return cents * CENT


def allocate(amount: int, weights: Sequence[int]) -> list[int]:
    """Split an amount in proportion to the weights; the shares add up to the amount.

    Uses the largest remainder method: each share is rounded down, and the remaining cents go to
    the largest remainders. Of equal remainders the earlier one comes first.
    """
    total_weight = sum(weights)
    if not total_weight:
        return [0] * len(weights)
    shares = [amount * weight // total_weight for weight in weights]
    remainders = [amount * weight % total_weight for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda index: -remainders[index])
    for index in by_remainder[: amount - sum(shares)]:
        shares[index] += 1
    return shares


def calculate_percentage(amount: int, percentage: int) -> int:
    """Return `percentage` percent of an amount; half a cent is rounded up."""
    return (amount * percentage + 50) // 100


def apply_discount(prices: Iterable[ItemPrice], percentage: int) -> None:
    """Set the discount of each item: its share of the discount on all items in its currency."""
    for same_currency in group_by_currency(prices).values():
        subtotals = [price.subtotal for price in same_currency]
        discount = calculate_percentage(sum(subtotals), percentage)
        shares = allocate(discount, subtotals)
        for price, share in zip(same_currency, shares, strict=True):
            price.discount = share


def exceeds_max_amount(prices: Iterable[ItemPrice]) -> bool:
    """Return whether the subtotals in one currency add up to more than `MAX_AMOUNT`."""
    groups = group_by_currency(prices).values()
    return any(sum(price.subtotal for price in group) > MAX_AMOUNT for group in groups)


def group_by_currency(prices: Iterable[ItemPrice]) -> dict[str, list[ItemPrice]]:
    """Return the prices of each currency; the currencies are in alphabetical order."""
    groups: dict[str, list[ItemPrice]] = defaultdict(list)
    for price in prices:
        groups[price.currency].append(price)
    return dict(sorted(groups.items()))


def calculate_totals(prices: Iterable[ItemPrice]) -> list[dict[str, Any]]:
    """Return the `totals` of an order: one object for each currency, amounts as strings."""
    return [
        {"currency": currency}
        | {
            name: f"{from_cents(sum(getattr(price, name) for price in same_currency)):.2f}"
            for name in ("subtotal", "discount", "total")
        }
        for currency, same_currency in group_by_currency(prices).items()
    ]
