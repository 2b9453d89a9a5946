"""The operations that Alchemist is measured at alone: no peer has them."""

import json
from dataclasses import dataclass

from tests.benchmarks.operations import (
    INGREDIENTS_PER_POTION,
    PAGE,
    Keys,
    Operation,
    is_ingredient,
    is_page_of,
    is_potion,
)

LONGEST_PAGE = 200
DEPTH = 9_000
LINES = 5


@dataclass(frozen=True)
class Shop(Keys):
    """What a customer of the shop knows: a token, baskets of products, and what was found there.

    `cursor` leads to what comes after the first 9,000 potions, and `etag` is the ingredient's.
    """

    token: str
    baskets: tuple[tuple[str, ...], ...]
    order: str = ""
    etag: str = ""
    cursor: str = ""


def _order_bodies(shop: Shop) -> tuple[str, ...]:
    """Return orders that have no product in common, so that none waits for another's rows."""
    return tuple(
        json.dumps({"items": [{"product_id": pk, "quantity": 1} for pk in basket]})
        for basket in shop.baskets
    )


_TOKEN = {"Authorization": "Bearer {keys.token}"}

HEAD = Operation(
    "head-ingredient",
    "HEAD of one ingredient",
    "/ingredients/{keys.ingredient}",
    lambda answer: answer is None,
    method="HEAD",
)
PLACE_ORDER = Operation(
    "place-order",
    f"order of {LINES} lines placed, with a token",
    "/orders",
    lambda answer: answer["status"] == "placed" and len(answer["items"]) == LINES,
    method="POST",
    status=201,
    headers=_TOKEN,
    bodies=_order_bodies,
)
# The only one that writes comes last.
OWN = (
    Operation(
        "deep-page",
        f"{PAGE} potions after the first {DEPTH:,}",
        f"/potions?limit={PAGE}&cursor={{keys.cursor}}",
        is_page_of(is_potion, PAGE),
    ),
    Operation(
        "list-200-ingredients",
        f"{LONGEST_PAGE} ingredients",
        f"/ingredients?limit={LONGEST_PAGE}",
        is_page_of(is_ingredient, LONGEST_PAGE),
    ),
    Operation(
        "list-200-potions",
        f"{LONGEST_PAGE} potions of {INGREDIENTS_PER_POTION} ingredients",
        f"/potions?limit={LONGEST_PAGE}",
        is_page_of(is_potion, LONGEST_PAGE),
    ),
    HEAD,
    Operation(
        "unchanged-ingredient",
        "one ingredient, unchanged: 304",
        "/ingredients/{keys.ingredient}",
        lambda answer: answer is None,
        status=304,
        headers={"If-None-Match": "{keys.etag}"},
    ),
    Operation(
        "get-ingredient-with-token",
        "one ingredient, with a token",
        "/ingredients/{keys.ingredient}",
        is_ingredient,
        headers=_TOKEN,
    ),
    Operation(
        "get-order",
        f"one's own order of {LINES} lines, with a token",
        "/orders/{keys.order}",
        lambda answer: len(answer["items"]) == LINES,
        headers=_TOKEN,
    ),
    PLACE_ORDER,
)
