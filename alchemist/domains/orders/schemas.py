"""Schemas of orders: the representation, and the list query."""

from typing import ClassVar

from alchemist.api.fields import (
    Enum,
    EnumList,
    Expansion,
    Nested,
    Pk,
    QueryDateTime,
    Schema,
    StrictInteger,
    Text,
    UtcDateTime,
)
from alchemist.api.pagination import ListQuerySchema, Sort
from alchemist.domains.coupons.schemas import EXAMPLE_CODE
from alchemist.domains.heroes.models import Hero
from alchemist.domains.heroes.schemas import HeroSchema
from alchemist.domains.products.models import Product
from alchemist.domains.products.schemas import EXAMPLE_STORE_PK, Money, ProductSchema
from alchemist.domains.stores.models import Store
from alchemist.domains.stores.schemas import StoreSchema
from alchemist.domains.users.schemas import EXAMPLE_OWNER_PK, EXPANDED_USER

from .models import TRANSITIONS, Order
from .visible_fields import AllowedTransitions, BuyerPk, BuyerText, VisibleItems, VisibleTotals

# Rows of the sample data: a placed order, a paid one, and an item of the first.
EXAMPLE_PK, EXAMPLE_PAID_PK = (
    "01a17e55-d42b-7f94-95fa-3a460c744f85",
    "01a0f37c-583a-77c1-aca3-4c8c17ca6af2",
)
EXAMPLE_PRODUCT_PK = "019734ef-6cc2-796d-9699-851d3da9d8c0"
EXAMPLE_PRODUCT_NAME = "Señora Ibarra's Throat Syrup, small bottle"
EXAMPLE_HERO_PK = "0195a0bd-2cad-7a4a-8f11-e3187caed144"
MAX_QUANTITY = 1_000_000
ACTIONS = sorted({action for allowed in TRANSITIONS.values() for action in allowed})


class OrderItemSchema(Schema):
    expandable: ClassVar = {
        "product": Expansion(ProductSchema, Product),
        "store": Expansion(StoreSchema, Store),
    }

    product_id = Pk(example=EXAMPLE_PRODUCT_PK, description="The product.")
    name = Text(
        max=255,
        example=EXAMPLE_PRODUCT_NAME,
        description="The name of the product when the order was placed.",
    )
    store_id = Pk(example=EXAMPLE_STORE_PK, description="The store that sells the product.")
    currency = Text(max=3, example="EUR", description="The currency of the prices (ISO 4217).")
    quantity = StrictInteger(
        min=1, max=100 * MAX_QUANTITY, description="The number of pieces.", example=2
    )
    unit_price = Money(
        description="The price of one piece when the order was placed.", example="12.50"
    )
    total = Money(
        description="Quantity times unit price, minus the share of the discount.", example="22.50"
    )
    fulfilled_at = UtcDateTime(
        allow_none=True,
        description="When the seller fulfilled the item; null before.",
        examples=[None],
    )


class TotalSchema(Schema):
    currency = Text(max=3, example="EUR", description="The currency (ISO 4217).")
    subtotal = Money(description="The sum of quantities times unit prices.", example="25.00")
    discount = Money(description="The discount of the coupon.", example="2.50")
    total = Money(
        description="The amount to pay: the sum of the totals of the items.", example="22.50"
    )


class OrderSchema(Schema):
    expandable: ClassVar = {"user": EXPANDED_USER, "hero": Expansion(HeroSchema, Hero)}

    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    status = Enum(
        *TRANSITIONS, name="OrderStatus", description="The status of the order.", example="placed"
    )
    placed_at = UtcDateTime(description="When the order was placed, at the prices of that moment.")
    expires_at = UtcDateTime(
        allow_none=True,
        description="Until when it can be paid; then it is cancelled, and its stock and its "
        "coupon are free again. Null once it is paid or cancelled.",
    )
    user_id = Pk(
        allow_none=True,
        example=EXAMPLE_OWNER_PK,
        description="The user who placed the order; null with open access.",
    )
    hero_id = BuyerPk(
        allow_none=True,
        example=EXAMPLE_HERO_PK,
        description="The hero that the order is for; null for sellers.",
    )
    coupon_code = BuyerText(
        max=64,
        allow_none=True,
        example=EXAMPLE_CODE,
        description="The code of the redeemed coupon when the order was placed; null for sellers.",
    )
    items = VisibleItems(
        Nested(OrderItemSchema),
        max=100,
        description="The items, one for each product; for sellers, their own.",
    )
    totals = VisibleTotals(
        Nested(TotalSchema),
        max=100,
        description="The totals of these items, one for each currency.",
    )
    allowed_transitions = AllowedTransitions(
        Enum(*ACTIONS, name="OrderAction"),
        dump_only=True,
        attribute="status",
        description="The actions that the status allows, and the caller may do; POST to "
        "`/orders/{pk}/{action}`.",
        example=["pay", "cancel"],
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class QuoteSchema(OrderSchema):
    """An order that is not placed."""

    expandable: ClassVar = {}

    class Meta(Schema.Meta):
        exclude = ("pk", "allowed_transitions")


class OrderListQuery(ListQuerySchema):
    sort = Sort(Order.pk, Order.placed_at, Order.updated_at)
    status = EnumList(
        *TRANSITIONS,
        name="OrderStatus",
        description="Orders with one of these statuses.",
        example=["placed", "paid"],
    )
    user_id = Pk(example=EXAMPLE_OWNER_PK, description="Orders of this user.")
    store_id = Pk(example=EXAMPLE_STORE_PK, description="Orders with an item of this store.")
    product_id = Pk(example=EXAMPLE_PRODUCT_PK, description="Orders with this product.")
    placed_after = QueryDateTime(
        description="Placed at this time or later.", example="2026-01-01T00:00:00.000000+00:00"
    )
    placed_before = QueryDateTime(
        description="Placed before this time.", example="2099-12-31T23:59:59.000000+00:00"
    )
