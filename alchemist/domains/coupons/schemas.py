"""Schemas of coupons and redemptions: bodies, representations and list queries."""

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from alchemist.api.fields import (
    CodedMessage,
    Expansion,
    ExternalReference,
    Pk,
    QueryBoolean,
    Schema,
    StrictInteger,
    Text,
    UtcDateTime,
)
from alchemist.api.pagination import ListQuerySchema, ReferenceFilter, Sort
from alchemist.domains.users.schemas import EXAMPLE_OWNER_PK, EXPANDED_USER

from .models import Coupon, Redemption

# Rows of the sample data: a coupon without redemptions, which can be deleted, and a redeemed one.
EXAMPLE_PK = "01991854-b6b7-7ea8-a0ca-bced09518465"
EXAMPLE_REDEEMED_PK, EXAMPLE_CODE = "0199062b-b1fd-710a-be55-989ad2ee78c5", "Welcome10"
EXAMPLE_REFERENCE = "PROMO-2028"
REFERENCE_EXAMPLES = (None, "PROMO-2101", "PROMO-2102", "PROMO-2103")
CODE_DESCRIPTION = (
    "The code that customers enter. Its case is kept, but ignored in comparisons: `STRASSE` is "
    "`Straße`. Invisible characters are removed."
)
INIT_COUNT_DESCRIPTION = "The number of uses in total."
REMAINING_COUNT_DESCRIPTION = "The number of uses left."
MAX_COUNT = 1_000_000_000
# For a creation, for two of a batch, and for an update: codes are unique, so they must differ.
CODE_EXAMPLES = ("MidsummerBrew", "MaydayBrew", "MidwinterBrew", "MidsummerBrew2")


def exceeds_init_count(values: Mapping[str, Any]) -> bool:
    """Return whether both counts are sent and `remaining_count` is the greater one."""
    remaining, initial = values.get("remaining_count"), values.get("init_count")
    return remaining is not None and initial is not None and remaining > initial


class CouponSchema(Schema):
    immutable_fields = ("remaining_count",)

    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    code = Text(
        required=True,
        min=1,
        max=64,
        is_code=True,
        description=CODE_DESCRIPTION,
        examples=CODE_EXAMPLES,
    )
    init_count = StrictInteger(
        required=True,
        min=0,
        max=MAX_COUNT,
        description=f"{INIT_COUNT_DESCRIPTION} "
        "An update changes `remaining_count` by the difference.",
        example=1000,
    )
    remaining_count = StrictInteger(
        min=0,
        max=MAX_COUNT,
        description=f"{REMAINING_COUNT_DESCRIPTION} "
        "Defaults to `init_count`; read-only after the creation.",
        example=1000,
    )
    percent_off = StrictInteger(
        min=0,
        max=100,
        allow_none=True,
        description="The discount on an order, in percent.",
        example=15,
    )
    valid_from = UtcDateTime(
        allow_none=True, description="The start of the period of validity; null for no start."
    )
    valid_until = UtcDateTime(
        allow_none=True,
        description="The end of the period of validity, not included; null for no end.",
        example="2099-12-31T23:59:59.000000+00:00",
    )
    per_user_limit = StrictInteger(
        min=1,
        max=MAX_COUNT,
        allow_none=True,
        description="The number of uses per user; null for no limit.",
        example=2,
    )
    reference = ExternalReference(examples=REFERENCE_EXAMPLES)
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)

    @validates_schema(skip_on_field_errors=False)
    def check_counts_and_period(self, values: dict[str, Any], **_: Any) -> None:
        """Compare the counts and the times with each other, as far as they are sent."""
        messages = {}
        if exceeds_init_count(values):
            detail = "Must not be more than the initial count."
            messages["remaining_count"] = [CodedMessage("out-of-range", detail)]
        start, end = values.get("valid_from"), values.get("valid_until")
        if start and end and end <= start:
            detail = "Must be later than valid_from."
            messages["valid_until"] = [CodedMessage("out-of-range", detail)]
        if messages:
            raise ValidationError(messages)


class CouponListQuery(ListQuerySchema):
    sort = Sort(Coupon.pk, Coupon.code, Coupon.created_at, Coupon.updated_at)
    code = Text(
        max=64,
        is_code=True,
        example=EXAMPLE_CODE.upper(),
        description="Coupons with exactly this code, in any case.",
    )
    reference = ReferenceFilter(example=EXAMPLE_REFERENCE)
    active = QueryBoolean(description="Whether the coupon is valid now and has uses left.")


class RedemptionSchema(Schema):
    expandable: ClassVar = {
        "coupon": Expansion(CouponSchema, Coupon, permission="coupons:read"),
        "user": EXPANDED_USER,
    }

    pk = Pk(dump_only=True, example="01a17e55-d42c-7a86-a97a-0ced4580daa6")
    coupon_id = Pk(dump_only=True, example=EXAMPLE_REDEEMED_PK, description="The redeemed coupon.")
    user_id = Pk(
        dump_only=True,
        allow_none=True,
        example=EXAMPLE_OWNER_PK,
        description="The user who redeemed the coupon; null with open access.",
    )
    order_id = Pk(
        dump_only=True,
        allow_none=True,
        example="01a17e55-d42b-7f94-95fa-3a460c744f85",
        description="The order with which the coupon was redeemed; null without one.",
    )
    remaining_count = StrictInteger(
        min=0,
        max=MAX_COUNT,
        dump_only=True,
        attribute="coupon.remaining_count",
        description="The number of uses that the coupon has left now.",
        example=497,
    )
    released_at = UtcDateTime(
        dump_only=True,
        allow_none=True,
        description="When the order was cancelled and the use returned to the coupon.",
        examples=[None],
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class RedemptionListQuery(ListQuerySchema):
    sort = Sort(Redemption.pk, Redemption.created_at, Redemption.updated_at)
