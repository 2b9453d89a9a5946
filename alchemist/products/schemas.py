"""The product as clients see it."""

from typing import Any

from alchemist.fields import Exact, Flag, Instant, Nested, Pk, Schema, Text, Whole
from alchemist.paging import PageArgs, Sort
from alchemist.potions.models import Potion
from alchemist.potions.schemas import EXAMPLE as POTION
from alchemist.stores.models import Store

from .models import Product
from .service import MOST_STOCK

# In the example apothecary: sealing wax, which nobody has ordered and can be deleted; a store that
# sells it, and a potion that is sold there, too.
EXAMPLE = "0197469b-8d6c-782d-bd2c-e4d82585a1a5"
STORE, SHOP = "01970df4-0414-76ae-bb1e-b22b1b2ba06b", "Ibarra & Daughter"
SYRUP = "01960fca-b226-7575-b9c6-8a1a3631a81a"
# What a creation shows, and what a change does: a name can be taken once.
NAMES = ("Beekeeper's Apology, small bottle", "Beekeeper's Apology, large bottle")
NAME = "What it is sold as; no other product of the store has it."


class Money(Exact):
    """An amount of money: up to 12 digits, two of them after the point."""

    def __init__(self, *, meaning: str, example: str, **how: Any) -> None:
        metadata = {"description": meaning}
        super().__init__(digits=12, places=2, example=example, metadata=metadata, **how)


class ProductStoreSchema(Schema):
    """Where a product is sold, in short."""

    pk = Pk(example=STORE, metadata={"description": "The key of the store."})
    name = Text(max=255, example=SHOP, metadata={"description": "The name of the store."})


class ProductSchema(Schema):
    settled = ("store_id",)

    pk = Pk(dump_only=True, example=EXAMPLE)
    store_id = Pk(
        required=True,
        to=Store,
        owner=("owner_id", "products:write"),
        example=STORE,
        metadata={"description": "Where it is sold; it stays there."},
    )
    store = Nested(ProductStoreSchema, dump_only=True, metadata={"description": "The store."})
    name = Text(
        required=True,
        min=1,
        max=255,
        metadata={"description": NAME, "examples": list(NAMES)},
    )
    description = Text(
        max=2000,
        allow_none=True,
        example="Corked and sealed with yellow wax.",
        metadata={"description": "What else there is to know about it."},
    )
    price = Money(required=True, meaning="Of one piece, in `currency`.", example="12.50")
    currency = Text(
        max=3,
        dump_only=True,
        attribute="store.currency",
        example="EUR",
        metadata={"description": "That of the store (ISO 4217)."},
    )
    stock = Whole(
        min=0,
        max=MOST_STOCK,
        allow_none=True,
        metadata={"description": "How many there are; null is unlimited.", "examples": [40]},
    )
    potion_id = Pk(
        allow_none=True,
        to=Potion,
        example=POTION,
        metadata={"description": "The potion in it, if it is one."},
    )
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)


class RestockSchema(Schema):
    quantity = Whole(
        required=True,
        min=1,
        max=MOST_STOCK,
        metadata={"description": "How many more there are.", "examples": [12]},
    )


class ProductFilters(PageArgs):
    sort = Sort(Product.pk, Product.name, Product.price, Product.created_at)
    store_id = Pk(example=STORE, metadata={"description": "Sold in this store."})
    potion_id = Pk(example=SYRUP, metadata={"description": "Of this potion: where one can buy it."})
    min_price = Money(meaning="Costs this or more, in whichever currency.", example="5.00")
    max_price = Money(meaning="Costs this or less, in whichever currency.", example="20.00")
    in_stock = Flag(metadata={"description": "Whether there are any left."})
    q = Text(
        max=200,
        min=1,
        example="throat syrup",
        metadata={"description": "Words in name or description, in any order and case."},
    )
