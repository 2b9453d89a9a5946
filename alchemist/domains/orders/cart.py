"""The items of an order before it is stored: prices, and the errors that prevent the order."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from alchemist import errors
from alchemist.errors import ErrorDetail

from . import pricing
from .pricing import ItemPrice

errors.register_problem_type(
    "out-of-stock",
    409,
    "The stock of a product is smaller than the ordered quantity. `errors` has the `requested` and "
    "the `available` quantity of each such product.",
    "Only 3 of “Beekeeper's Apology, small bottle” are in stock, but 5 were requested.",
)
errors.register_problem_type(
    "price-changed",
    409,
    "The current totals differ from `expected_totals`. `errors` has them as `totals`.",
    "The order costs 25.00 EUR.",
)
errors.register_problem_type(
    "mixed-currencies",
    422,
    "In version 1 an order has one total, so all of its products must have the same currency. "
    "In version 2 it has one total for each currency.",
    "The products are in EUR and USD.",
)


class CartItem(NamedTuple):
    """A product and its total quantity in the order, read while the product was locked.

    If the product does not exist, all values of it are None.
    """

    product_id: UUID
    quantity: int
    store_id: UUID | None
    name: str | None
    unit_price: Decimal | None
    currency: str | None
    # Before the reservation; None if it is unlimited.
    stock: int | None
    is_reserved: bool


def quantities_and_indexes(
    items: Iterable[Mapping[str, Any]],
) -> tuple[dict[UUID, int], dict[UUID, list[int]]]:
    """Return by product its total quantity, and the indexes of the items that have it."""
    quantities: dict[UUID, int] = {}
    indexes: dict[UUID, list[int]] = {}
    for index, item in enumerate(items):
        product_id = item["product_id"]
        indexes.setdefault(product_id, []).append(index)
        quantities[product_id] = quantities.get(product_id, 0) + item["quantity"]
    return quantities, indexes


def price_items(
    cart_items: Sequence[CartItem], indexes: Mapping[UUID, Sequence[int]], percent_off: int
) -> list[ItemPrice]:
    """Return the price of each item, with its share of the discount.

    Raises UnprocessableContent if a product does not exist or an amount is too large.
    """
    prices: list[ItemPrice] = []
    item_errors: list[ErrorDetail] = []
    for item in cart_items:
        if item.unit_price is None or item.currency is None:
            item_errors += _unknown_product_errors(item.product_id, indexes)
            continue
        unit_price = pricing.to_minor_units(item.unit_price, item.currency)
        price = ItemPrice(item.currency, unit_price * item.quantity)
        prices.append(price)
        if price.subtotal > pricing.MAX_AMOUNT:
            pointer = f"#/items/{indexes[item.product_id][0]}/quantity"
            item_errors.append(_amount_too_large_error(pointer, item.currency))
    if not item_errors and (currency := pricing.find_excessive_currency(prices)):
        item_errors.append(_amount_too_large_error("#/items", currency))
    if item_errors:
        raise errors.UnprocessableContent.from_errors(item_errors)
    pricing.apply_discount(prices, percent_off)
    return prices


def _unknown_product_errors(
    product_id: UUID, indexes: Mapping[UUID, Sequence[int]]
) -> Iterator[ErrorDetail]:
    """Yield an error for each item that has the product."""
    for index in indexes[product_id]:
        yield {
            "pointer": f"#/items/{index}/product_id",
            "code": "unknown-reference",
            "detail": f"No product {product_id}.",
        }


def _amount_too_large_error(pointer: str, currency: str) -> ErrorDetail:
    maximum = pricing.from_minor_units(pricing.MAX_AMOUNT, currency)
    detail = f"The price exceeds {maximum} {currency}."
    return {"pointer": pointer, "code": "out-of-range", "detail": detail}


def check_single_currency(totals: Sequence[Mapping[str, Any]]) -> None:
    """Raise UnprocessableContent if the products are in several currencies."""
    if len(totals) > 1:
        detail = f"The products are in {' and '.join(total['currency'] for total in totals)}."
        raise errors.UnprocessableContent.at_location(
            "pointer", "#/items", detail, "mixed-currencies"
        )


def out_of_stock_errors(
    cart_items: Iterable[CartItem], indexes: Mapping[UUID, Sequence[int]]
) -> Iterator[ErrorDetail]:
    for item in cart_items:
        if item.stock is not None and not item.is_reserved:
            yield {
                "pointer": f"#/items/{indexes[item.product_id][0]}",
                "code": "out-of-stock",
                "detail": f"Only {item.stock} of “{item.name}” are in stock, "
                f"but {item.quantity} were requested.",
                "requested": item.quantity,
                "available": item.stock,
            }


def price_mismatch_errors(
    totals: Sequence[Mapping[str, Any]], expected_totals: Sequence[Mapping[str, Any]]
) -> Iterator[ErrorDetail]:
    """Yield an error if the order costs anything else than the client expects."""
    actual = {total["currency"]: total["total"] for total in totals}
    expected = {total["currency"]: total["total"] for total in expected_totals}
    if {currency: Decimal(total) for currency, total in actual.items()} != expected:
        costs = " and ".join(f"{total} {currency}" for currency, total in actual.items())
        yield {
            "pointer": "#/expected_totals",
            "code": "price-changed",
            "detail": f"The order costs {costs}.",
            "totals": [
                {"currency": currency, "total": total} for currency, total in actual.items()
            ],
        }
