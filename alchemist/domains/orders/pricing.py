"""What an order costs, to the cent: amounts are whole numbers of hundredths of a currency."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

CENT = Decimal("0.01")
# 12 digits, two of them after the point.
MAX_AMOUNT = 999_999_999_999


@dataclass
class LinePrice:
    """What a line costs before its discount, and the discount."""

    currency: str
    subtotal: int
    discount: int = 0

    @property
    def total(self) -> int:
        return self.subtotal - self.discount


def cents(amount: Decimal) -> int:
    return int(amount / CENT)


def money(amount: int) -> Decimal:
    return amount * CENT


def allocate(amount: int, weights: Sequence[int]) -> list[int]:
    """Share out an amount in proportion to weights, so that the shares add up to it.

    The method of the largest remainder: each share is rounded down, and the cents that are left go
    to those who lost most by it, the first of equals first.
    """
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    shares = [amount * weight // whole for weight in weights]
    lost = [amount * weight % whole for weight in weights]
    for index in sorted(range(len(weights)), key=lambda i: -lost[i])[: amount - sum(shares)]:
        shares[index] += 1
    return shares


def percent(amount: int, percentage: int) -> int:
    """Return that many percent of an amount; half a cent is rounded up."""
    return (amount * percentage + 50) // 100


def discount(charges: Iterable[LinePrice], percentage: int) -> None:
    """Take a percentage off, of all that is in one currency at once."""
    for alike in by_currency(charges).values():
        subtotals = [charge.subtotal for charge in alike]
        shares = allocate(percent(sum(subtotals), percentage), subtotals)
        for charge, share in zip(alike, shares, strict=True):
            charge.discount = share


def exceeds_max_amount(charges: Iterable[LinePrice]) -> bool:
    """Tell whether the sum in some currency has more digits than an amount of money."""
    alike = by_currency(charges).values()
    return any(sum(charge.subtotal for charge in some) > MAX_AMOUNT for some in alike)


def by_currency(charges: Iterable[LinePrice]) -> dict[str, list[LinePrice]]:
    found: dict[str, list[LinePrice]] = defaultdict(list)
    for charge in charges:
        found[charge.currency].append(charge)
    return dict(sorted(found.items()))


def totals(charges: Iterable[LinePrice]) -> list[dict[str, Any]]:
    """Return what is to be paid in each currency, as clients are told."""
    return [
        {"currency": currency}
        | {
            name: f"{money(sum(getattr(charge, name) for charge in alike)):.2f}"
            for name in ("subtotal", "discount", "total")
        }
        for currency, alike in by_currency(charges).items()
    ]
