"""Schemas of the bodies that place or quote an order."""

from typing import Any

from marshmallow import ValidationError, validates_schema

from alchemist.api.fields import (
    CodedMessage,
    Enum,
    List,
    NameReference,
    Nested,
    Pk,
    Schema,
    StrictInteger,
    Text,
)
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.coupons.schemas import EXAMPLE_CODE
from alchemist.domains.heroes.models import Hero
from alchemist.domains.products.models import Product
from alchemist.domains.products.schemas import Money
from alchemist.domains.stores.currencies import CURRENCIES, describe_valid_amounts, is_valid_amount

from .schemas import EXAMPLE_HERO_PK, EXAMPLE_PRODUCT_PK, MAX_QUANTITY


class OrderItemCreateSchema(Schema):
    product_id = Pk(
        required=True,
        references=Product,
        checked_by_service=True,
        example=EXAMPLE_PRODUCT_PK,
        description="The product. Quantities of the same product are added up.",
    )
    quantity = StrictInteger(
        required=True, min=1, max=MAX_QUANTITY, description="The number of pieces.", example=2
    )


class ExpectedTotalSchema(Schema):
    currency = Enum(
        *CURRENCIES,
        name="Currency",
        required=True,
        description="The currency (ISO 4217).",
        example="EUR",
    )
    total = Money(required=True, description="The expected total in the currency.", example="22.50")

    @validates_schema
    def check_amount(self, values: dict[str, Any], **_: Any) -> None:
        """Compare the total with the decimals of the currency."""
        currency = values["currency"]
        if not is_valid_amount(values["total"], currency):
            message = CodedMessage("out-of-range", describe_valid_amounts(currency))
            raise ValidationError({"total": [message]})


class QuoteCreateSchema(Schema):
    """The body of a request for a quote."""

    items = List(
        Nested(OrderItemCreateSchema),
        required=True,
        min=1,
        max=100,
        description="The products to order.",
    )
    # No reference: the service decides who may learn whether the coupon exists.
    coupon_code = Text(
        min=1,
        max=64,
        allow_none=True,
        example=EXAMPLE_CODE,
        description="The code of a coupon to redeem, in any case.",
    )
    hero_id = Pk(
        allow_none=True,
        references=Hero,
        example=EXAMPLE_HERO_PK,
        description="The hero that the order is for.",
    )
    expected_totals = List(
        Nested(ExpectedTotalSchema),
        allow_none=True,
        max=100,
        unique_by="currency",
        description="The totals that the client expects, one for each currency. If the "
        "order costs anything else, it is not placed.",
        examples=[None],
    )


class OrderCreateSchema(QuoteCreateSchema):
    """The body of a request that places an order."""

    coupon_code = NameReference(
        column=Coupon.code_folded,
        min=1,
        max=64,
        allow_none=True,
        example=EXAMPLE_CODE,
        description="The code of a coupon to redeem, in any case.",
    )
