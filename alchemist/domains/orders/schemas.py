"""The order as clients place it, and as they see it."""

import json
from typing import Any

from sqlalchemy import JSON, ColumnElement, case, literal_column

from alchemist.api.fields import (
    Enum,
    List,
    NameReference,
    Nested,
    Pk,
    Schema,
    StrictInteger,
    Text,
    UtcDateTime,
)
from alchemist.api.pagination import ListQuerySchema, Sort
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.coupons.schemas import EXAMPLE_CODE
from alchemist.domains.heroes.models import Hero
from alchemist.domains.products.models import Product
from alchemist.domains.products.schemas import EXAMPLE_STORE_PK, Money
from alchemist.domains.stores.schemas import CURRENCIES
from alchemist.domains.users.schemas import EXAMPLE_OWNER_PK

from .models import TRANSITIONS, Order

# In the example apothecary: one that is placed, one that is paid, and what the first contains.
EXAMPLE_PK, EXAMPLE_PAID_PK = (
    "01a17e55-d42b-7f94-95fa-3a460c744f85",
    "01a0f37c-583a-77c1-aca3-4c8c17ca6af2",
)
EXAMPLE_PRODUCT_PK = "019734ef-6cc2-796d-9699-851d3da9d8c0"
EXAMPLE_PRODUCT_NAME = "Señora Ibarra's Throat Syrup, small bottle"
EXAMPLE_HERO_PK = "0195a0bd-2cad-7a4a-8f11-e3187caed144"
MAX_QUANTITY = 1_000_000
VERBS = sorted({verb for allowed in TRANSITIONS.values() for verb in allowed})


class OrderItemCreateSchema(Schema):
    product_id = Pk(
        required=True,
        references=Product,
        example=EXAMPLE_PRODUCT_PK,
        metadata={"description": "What is bought; on several lines it is added up."},
    )
    quantity = StrictInteger(
        required=True,
        min=1,
        max=MAX_QUANTITY,
        metadata={"description": "How many of it.", "examples": [2]},
    )


class ExpectedTotalSchema(Schema):
    currency = Enum(
        *CURRENCIES,
        required=True,
        metadata={"description": "The currency (ISO 4217).", "examples": ["EUR"]},
    )
    total = Money(required=True, meaning="What shall be paid in it.", example="22.50")


class OrderCreateSchema(Schema):
    """An order to be placed."""

    items = List(
        Nested(OrderItemCreateSchema),
        required=True,
        min=1,
        max=100,
        metadata={"description": "What is bought."},
    )
    coupon_code = NameReference(
        column=Coupon.code,
        min=1,
        max=64,
        allow_none=True,
        example=EXAMPLE_CODE,
        metadata={"description": "A coupon to redeem, in any case."},
    )
    hero_id = Pk(
        allow_none=True,
        references=Hero,
        owner_check=("user_id", "heroes:write"),
        example=EXAMPLE_HERO_PK,
        metadata={"description": "Whom it is for."},
    )
    expected_totals = List(
        Nested(ExpectedTotalSchema),
        allow_none=True,
        max=100,
        unique_by="currency",
        metadata={
            "description": "What the client believes it costs: one entry for each currency. If it "
            "costs something else it is not placed.",
            "examples": [None],
        },
    )


class OrderItemSchema(Schema):
    product_id = Pk(example=EXAMPLE_PRODUCT_PK, metadata={"description": "What was bought."})
    name = Text(
        max=255,
        attribute="product.name",
        example=EXAMPLE_PRODUCT_NAME,
        metadata={"description": "What the product is called now."},
    )
    store_id = Pk(
        attribute="product.store_id",
        example=EXAMPLE_STORE_PK,
        metadata={"description": "Where it is sold."},
    )
    currency = Text(
        max=3, example="EUR", metadata={"description": "What it was sold in (ISO 4217)."}
    )
    quantity = StrictInteger(
        min=1, max=100 * MAX_QUANTITY, metadata={"description": "How many of it.", "examples": [2]}
    )
    unit_price = Money(meaning="What one cost when the order was placed.", example="12.50")
    total = Money(
        meaning="What the line costs, its share of the discount taken off.", example="22.50"
    )


class TotalSchema(Schema):
    currency = Text(max=3, example="EUR", metadata={"description": "The currency (ISO 4217)."})
    subtotal = Money(meaning="Quantities times prices.", example="25.00")
    discount = Money(meaning="What the coupon takes off.", example="2.50")
    total = Money(meaning="What is to be paid: the sum of the lines.", example="22.50")


class AllowedTransitions(List):
    """What may be done with an order, which its status decides."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:
        return list(TRANSITIONS[value])

    @staticmethod
    def to_sql(column: ColumnElement[Any]) -> ColumnElement[Any]:
        verbs = {
            status: literal_column(f"'{json.dumps(list(allowed))}'::json", JSON)
            for status, allowed in TRANSITIONS.items()
        }
        return case(verbs, value=column)


class OrderSchema(Schema):
    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    status = Enum(
        *TRANSITIONS, metadata={"description": "How far it has come.", "examples": ["placed"]}
    )
    placed_at = UtcDateTime(metadata={"description": "When its prices were agreed on."})
    user_id = Pk(
        allow_none=True,
        example=EXAMPLE_OWNER_PK,
        metadata={"description": "Who placed it; null with open access."},
    )
    hero_id = Pk(
        allow_none=True, example=EXAMPLE_HERO_PK, metadata={"description": "Whom it is for."}
    )
    coupon_code = Text(
        max=64,
        allow_none=True,
        attribute="redemption.coupon.code",
        example=EXAMPLE_CODE,
        metadata={"description": "The coupon that was redeemed."},
    )
    items = List(
        Nested(OrderItemSchema), max=100, metadata={"description": "One line for each product."}
    )
    totals = List(
        Nested(TotalSchema), max=100, metadata={"description": "One entry for each currency."}
    )
    allowed_transitions = AllowedTransitions(
        Enum(*VERBS),
        dump_only=True,
        attribute="status",
        metadata={
            "description": "What may be done with it: each is a path below it to POST to.",
            "examples": [["pay", "cancel"]],
        },
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class OrderListQuery(ListQuerySchema):
    sort = Sort(Order.pk, Order.placed_at)
    status = Enum(
        *TRANSITIONS, metadata={"description": "Orders of this status.", "examples": ["placed"]}
    )
    user_id = Pk(example=EXAMPLE_OWNER_PK, metadata={"description": "Orders of this user."})
    product_id = Pk(
        example=EXAMPLE_PRODUCT_PK, metadata={"description": "Orders with this product."}
    )
    placed_after = UtcDateTime(
        metadata={
            "description": "Placed at this moment or later.",
            "examples": ["2026-01-01T00:00:00.000000+00:00"],
        }
    )
    placed_before = UtcDateTime(
        metadata={
            "description": "Placed before this moment.",
            "examples": ["2099-12-31T23:59:59.000000+00:00"],
        }
    )
