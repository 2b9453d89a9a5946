"""What an order wants, and what there is of it: what that costs, and what stands in its way."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from alchemist import errors
from alchemist.errors import ErrorDetail

from . import pricing
from .pricing import LinePrice

errors.register(
    "out-of-stock",
    409,
    "There is less of a product than the order wants; `errors` say how many are `requested` and "
    "how many `available`.",
    "There are 3 of “Beekeeper's Apology, small bottle”, not 5.",
)
errors.register(
    "price-changed",
    409,
    "The order costs other than `expected_totals`; `errors` say what it costs now, in `totals`.",
    "The order costs 25.00 EUR.",
)
errors.register(
    "mixed-currencies",
    422,
    "Version 1 has one total for an order, so all of its products must be in one currency. "
    "Version 2 has a total for each.",
    "The products are in EUR and USD.",
)


def merge_items(items: Iterable[Mapping[str, Any]]) -> tuple[dict[UUID, int], dict[UUID, int]]:
    """Return how many of each product are wanted in all, and on which line it stands first."""
    quantities: dict[UUID, int] = {}
    places: dict[UUID, int] = {}
    for index, item in enumerate(items):
        product = item["product_id"]
        places.setdefault(product, index)
        quantities[product] = quantities.get(product, 0) + item["quantity"]
    return quantities, places


def price_lines(
    sales: Sequence[Row[Any]], places: Mapping[UUID, int], percentage: int
) -> list[LinePrice]:
    """Return what each line costs; raise Invalid for what is not there, or is beyond counting."""
    charged: list[LinePrice] = []
    entries: list[ErrorDetail] = []
    for sale in sales:
        place = places[sale.product_id]
        if sale.unit_price is None:
            entries.append(_unknown_product_errors(place, sale.product_id))
            continue
        charge = LinePrice(sale.currency, pricing.cents(sale.unit_price) * sale.quantity)
        charged.append(charge)
        if charge.subtotal > pricing.MAX_AMOUNT:
            entries.append(_amount_too_large(f"/{place}/quantity"))
    if not entries and pricing.exceeds_max_amount(charged):
        entries.append(_amount_too_large(""))
    if entries:
        raise errors.UnprocessableContent.from_errors(entries)
    pricing.discount(charged, percentage)
    return charged


def _unknown_product_errors(place: int, pk: UUID) -> ErrorDetail:
    """Return what is said of a product that went since the request was read."""
    pointer = f"#/items/{place}/product_id"
    return {"pointer": pointer, "code": "unknown-reference", "detail": f"No product {pk}."}


def _amount_too_large(place: str) -> ErrorDetail:
    detail = "It costs more than 12 digits can say."
    return {"pointer": f"#/items{place}", "code": "out-of-range", "detail": detail}


def check_currency(totals: Sequence[Mapping[str, Any]]) -> None:
    if len(totals) > 1:
        detail = f"The products are in {' and '.join(entry['currency'] for entry in totals)}."
        raise errors.UnprocessableContent.at_location(
            "pointer", "#/items", detail, "mixed-currencies"
        )


def out_of_stock_errors(
    sales: Iterable[Row[Any]], places: Mapping[UUID, int]
) -> Iterator[ErrorDetail]:
    for sale in sales:
        if sale.stock is not None and not sale.is_taken:
            yield {
                "pointer": f"#/items/{places[sale.product_id]}",
                "code": "out-of-stock",
                "detail": f"There are {sale.stock} of “{sale.name}”, not {sale.quantity}.",
                "requested": sale.quantity,
                "available": sale.stock,
            }


def price_mismatches(
    totals: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]
) -> Iterator[ErrorDetail]:
    """Yield a complaint if an order costs other than its client believes."""
    found = [{"currency": entry["currency"], "total": entry["total"]} for entry in totals]
    believed = {entry["currency"]: f"{entry['total']:.2f}" for entry in expected}
    if {entry["currency"]: entry["total"] for entry in found} != believed:
        costs = " and ".join(f"{entry['total']} {entry['currency']}" for entry in found)
        yield {
            "pointer": "#/expected_totals",
            "code": "price-changed",
            "detail": f"The order costs {costs}.",
            "totals": found,
        }


def item_columns(sales: Sequence[Row[Any]], charges: Sequence[LinePrice]) -> dict[str, list[Any]]:
    return {
        "product_id": [sale.product_id for sale in sales],
        "quantity": [sale.quantity for sale in sales],
        "taken": [sale.quantity if sale.is_taken else 0 for sale in sales],
        "currency": [charge.currency for charge in charges],
        "unit_price": [sale.unit_price for sale in sales],
        "discount": [pricing.money(charge.discount) for charge in charges],
        "total": [pricing.money(charge.total) for charge in charges],
    }
