"""Schemas of products: the bodies, the representation, and the list query."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, String, cast, func

from alchemist.api.fields import (
    DecimalString,
    Expansion,
    ExternalReference,
    Nested,
    Pk,
    QueryBoolean,
    Schema,
    StrictInteger,
    Text,
    UtcDateTime,
)
from alchemist.api.json_body import LoadedBody
from alchemist.api.pagination import ListQuerySchema, ReferenceFilter, SearchText, Sort
from alchemist.api.references import json_pointer
from alchemist.domains.potions.models import Potion
from alchemist.domains.potions.schemas import EXAMPLE_PK as POTION
from alchemist.domains.potions.schemas import PotionSchema
from alchemist.domains.stores import service as stores
from alchemist.domains.stores.currencies import (
    DECIMALS,
    MAX_DECIMALS,
    MAX_DIGITS,
    amount_errors,
    decimals_sql,
)
from alchemist.domains.stores.models import Store
from alchemist.domains.stores.schemas import StoreSchema
from alchemist.errors import ErrorDetail

from .models import Product
from .service import MAX_STOCK

# Rows of the sample data: a product without orders, which can be deleted, its store, and a potion
# that the store sells.
EXAMPLE_PK = "0197469b-8d6c-782d-bd2c-e4d82585a1a5"
EXAMPLE_STORE_PK, EXAMPLE_STORE_NAME = "01970df4-0414-76ae-bb1e-b22b1b2ba06b", "Ibarra & Daughter"
EXAMPLE_POTION_PK = "01960fca-b226-7575-b9c6-8a1a3631a81a"
EXAMPLE_REFERENCE = "SKU-21227"
REFERENCE_EXAMPLES = (None, "SKU-30107", "SKU-30108", "SKU-30109")
# For a creation, for two of a batch, and for an update: names are unique, so they must differ.
NAME_EXAMPLES = (
    "Beekeeper's Apology, small bottle",
    "Beekeeper's Apology, medium bottle",
    "Beekeeper's Apology, barrel",
    "Beekeeper's Apology, large bottle",
)
NAME_DESCRIPTION = "The name of the product, unique in its store."


class Money(DecimalString):
    """An amount of money, with the decimals of its currency (ISO 4217).

    The field knows no currency: it allows 12 digits before the point, and the most decimals that a
    currency has.
    """

    def __init__(self, *, description: str, example: str, **kwargs: Any) -> None:
        super().__init__(
            precision=MAX_DIGITS + MAX_DECIMALS,
            scale=MAX_DECIMALS,
            example=example,
            metadata={"description": description},
            **kwargs,
        )

    def _serialize(self, value: Decimal | str | None, *args: Any, **kwargs: Any) -> str | None:
        return None if value is None else f"{Decimal(value):f}"


class Price(Money):
    """The price of a product, in its currency."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return f"{value:.{DECIMALS[obj.currency]}f}"

    @staticmethod
    def row_to_sql(row: Any) -> ColumnElement[Any]:
        return cast(func.round(row.price, decimals_sql(row.currency)), String)


class ProductStoreSchema(Schema):
    """The store of a product, in short."""

    pk = Pk(example=EXAMPLE_STORE_PK, description="The primary key of the store.")
    name = Text(max=255, example=EXAMPLE_STORE_NAME, description="The name of the store.")


class ProductSchema(Schema):
    immutable_fields = ("store_id",)
    expandable: ClassVar = {
        "store": Expansion(StoreSchema, Store),
        "potion": Expansion(PotionSchema, Potion),
    }

    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    store_id = Pk(
        required=True,
        references=Store,
        example=EXAMPLE_STORE_PK,
        description="The store that sells the product. It cannot be changed.",
    )
    store = Nested(ProductStoreSchema, dump_only=True, description="The store.")
    name = Text(required=True, min=1, max=255, description=NAME_DESCRIPTION, examples=NAME_EXAMPLES)
    description = Text(
        max=2000,
        allow_none=True,
        example="Corked and sealed with yellow wax.",
        description="A description of the product.",
    )
    price = Price(
        required=True,
        description="The price of one piece, with the decimals of `currency`.",
        example="12.50",
    )
    currency = Text(
        max=3, dump_only=True, example="EUR", description="The currency of the store (ISO 4217)."
    )
    stock = StrictInteger(
        min=0,
        max=MAX_STOCK,
        allow_none=True,
        description="The number of pieces in stock; null is unlimited.",
        example=40,
    )
    potion_id = Pk(
        allow_none=True,
        references=Potion,
        example=POTION,
        description="The potion that the product contains, if any.",
    )
    reference = ExternalReference(examples=REFERENCE_EXAMPLES)
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)

    def find_errors_against_stored_rows(
        self, bodies: Sequence[LoadedBody]
    ) -> Iterator[ErrorDetail]:
        """Yield an error for each price that the currency of its store lacks."""
        currencies: dict[Any, str] = stores.currencies_by_store(
            {each.values["store_id"] for each in bodies if "store_id" in each.values}
        )
        for path, values, current, *_ in bodies:
            currency = current.get("currency") or currencies.get(values.get("store_id"))
            if currency is not None and "price" in values:
                yield from amount_errors(values["price"], currency, json_pointer((*path, "price")))


class RestockSchema(Schema):
    quantity = StrictInteger(
        required=True, min=1, max=MAX_STOCK, description="The number of pieces to add.", example=12
    )


class ProductListQuery(ListQuerySchema):
    sort = Sort(Product.pk, Product.name, Product.price, Product.created_at, Product.updated_at)
    store_id = Pk(example=EXAMPLE_STORE_PK, description="Products of this store.")
    potion_id = Pk(example=EXAMPLE_POTION_PK, description="Products that contain this potion.")
    min_price = Money(description="A price of at least this, in any currency.", example="5.00")
    max_price = Money(description="A price of at most this, in any currency.", example="20.00")
    in_stock = QueryBoolean(description="Whether the product is in stock.")
    reference = ReferenceFilter(example=EXAMPLE_REFERENCE)
    q = SearchText("Products with all these words in name or description.", example="throat syrup")
