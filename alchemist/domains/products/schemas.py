"""The product as clients see it."""

from typing import Any

from alchemist.api.fields import (
    DecimalString,
    Nested,
    Pk,
    QueryBoolean,
    Schema,
    StrictInteger,
    Text,
    UtcDateTime,
)
from alchemist.api.pagination import ListQuerySchema, Sort
from alchemist.domains.potions.models import Potion
from alchemist.domains.potions.schemas import EXAMPLE_PK as POTION
from alchemist.domains.stores.models import Store

from .models import Product
from .service import MAX_STOCK

# In the example apothecary: sealing wax, which nobody has ordered and can be deleted; a store that
# sells it, and a potion that is sold there, too.
EXAMPLE_PK = "0197469b-8d6c-782d-bd2c-e4d82585a1a5"
EXAMPLE_STORE_PK, EXAMPLE_STORE_NAME = "01970df4-0414-76ae-bb1e-b22b1b2ba06b", "Ibarra & Daughter"
EXAMPLE_POTION_PK = "01960fca-b226-7575-b9c6-8a1a3631a81a"
# What a creation shows, and what a change does: a name can be taken once.
NAME_EXAMPLES = ("Beekeeper's Apology, small bottle", "Beekeeper's Apology, large bottle")
NAME_DESCRIPTION = "What it is sold as; no other product of the store has it."


class Money(DecimalString):
    """An amount of money: up to 12 digits, two of them after the point."""

    def __init__(self, *, meaning: str, example: str, **how: Any) -> None:
        metadata = {"description": meaning}
        super().__init__(precision=12, scale=2, example=example, metadata=metadata, **how)


class ProductStoreSchema(Schema):
    """Where a product is sold, in short."""

    pk = Pk(example=EXAMPLE_STORE_PK, metadata={"description": "The key of the store."})
    name = Text(
        max=255, example=EXAMPLE_STORE_NAME, metadata={"description": "The name of the store."}
    )


class ProductSchema(Schema):
    immutable_fields = ("store_id",)

    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    store_id = Pk(
        required=True,
        references=Store,
        owner_check=("owner_id", "products:write"),
        example=EXAMPLE_STORE_PK,
        metadata={"description": "Where it is sold; it stays there."},
    )
    store = Nested(ProductStoreSchema, dump_only=True, metadata={"description": "The store."})
    name = Text(
        required=True,
        min=1,
        max=255,
        metadata={"description": NAME_DESCRIPTION, "examples": list(NAME_EXAMPLES)},
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
    stock = StrictInteger(
        min=0,
        max=MAX_STOCK,
        allow_none=True,
        metadata={"description": "How many there are; null is unlimited.", "examples": [40]},
    )
    potion_id = Pk(
        allow_none=True,
        references=Potion,
        example=POTION,
        metadata={"description": "The potion in it, if it is one."},
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class RestockSchema(Schema):
    quantity = StrictInteger(
        required=True,
        min=1,
        max=MAX_STOCK,
        metadata={"description": "How many more there are.", "examples": [12]},
    )


class ProductListQuery(ListQuerySchema):
    sort = Sort(Product.pk, Product.name, Product.price, Product.created_at)
    store_id = Pk(example=EXAMPLE_STORE_PK, metadata={"description": "Sold in this store."})
    potion_id = Pk(
        example=EXAMPLE_POTION_PK, metadata={"description": "Of this potion: where one can buy it."}
    )
    min_price = Money(meaning="Costs this or more, in whichever currency.", example="5.00")
    max_price = Money(meaning="Costs this or less, in whichever currency.", example="20.00")
    in_stock = QueryBoolean(metadata={"description": "Whether there are any left."})
    q = Text(
        max=200,
        min=1,
        example="throat syrup",
        metadata={"description": "Words in name or description, in any order and case."},
    )
