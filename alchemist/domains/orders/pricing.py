"""Prices, discounts and totals of an order.

Amounts are integers in the minor unit of their currency: cents for EUR, yen for JPY (ISO 4217).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from alchemist.domains.stores.currencies import DECIMALS, MAX_DIGITS

MAX_AMOUNT = 10**MAX_DIGITS - 1


@dataclass
class ItemPrice:
    """The price of one order item: quantity times unit price, and the discount on it."""

    currency: str
    subtotal: int
    discount: int = 0

    @property
    def total(self) -> int:
        return self.subtotal - self.discount


def to_minor_units(amount: Decimal, currency: str) -> int:
    return int(amount.scaleb(DECIMALS[currency]))


def from_minor_units(units: int, currency: str) -> Decimal:
    """Return the amount, with exactly the decimals of the currency."""
    return Decimal(units).scaleb(-DECIMALS[currency])


def allocate(amount: int, weights: Sequence[int]) -> list[int]:
    """Split an amount in proportion to the weights; the shares add up to the amount.

    Uses the largest remainder method: each share is rounded down, and the remaining units go to
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
    """Return `percentage` percent of an amount; half a unit is rounded up."""
    return (amount * percentage + 50) // 100


def apply_discount(prices: Iterable[ItemPrice], percentage: int) -> None:
    """Set the discount of each item: its share of the discount on all items in its currency."""
    for same_currency in group_by_currency(prices).values():
        subtotals = [price.subtotal for price in same_currency]
        discount = calculate_percentage(sum(subtotals), percentage)
        shares = allocate(discount, subtotals)
        for price, share in zip(same_currency, shares, strict=True):
            price.discount = share


def find_excessive_currency(prices: Iterable[ItemPrice]) -> str | None:
    """Return a currency whose subtotals add up to more than `MAX_AMOUNT`, or None."""
    for currency, group in group_by_currency(prices).items():
        if sum(price.subtotal for price in group) > MAX_AMOUNT:
            return currency
    return None


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
            name: f"{from_minor_units(sum(getattr(each, name) for each in group), currency):f}"
            for name in ("subtotal", "discount", "total")
        }
        for currency, group in group_by_currency(prices).items()
    ]
