"""Coupons and their redemptions as clients see them."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, validates_schema

from alchemist.api.fields import (
    CodedMessage,
    Pk,
    QueryBoolean,
    Schema,
    StrictInteger,
    Text,
    UtcDateTime,
)
from alchemist.api.pagination import ListQuerySchema, Sort
from alchemist.domains.users.schemas import EXAMPLE_OWNER_PK

from .models import Coupon, Redemption

# In the example apothecary: one that nobody has used and that can be deleted, and one that orders
# have redeemed.
EXAMPLE_PK = "01991854-b6b7-7ea8-a0ca-bced09518465"
EXAMPLE_REDEEMED_PK, EXAMPLE_CODE = "0199062b-b1fd-710a-be55-989ad2ee78c5", "Welcome10"
CODE_DESCRIPTION = "What customers type; it keeps its case and is compared without it."
INIT_COUNT_DESCRIPTION = "How often it may be used in all."
REMAINING_COUNT_DESCRIPTION = "How often it may still be used."
MAX_COUNT = 1_000_000_000
# What a creation shows, and what a change does: a code can be taken once.
CODE_EXAMPLES = ("MidsummerBrew", "MidsummerBrew2")


def exceeds_init_count(values: Mapping[str, Any]) -> bool:
    """Tell whether more is said to remain than there was, as far as both are sent."""
    remaining, initial = values.get("remaining_count"), values.get("init_count")
    return remaining is not None and initial is not None and remaining > initial


class CouponSchema(Schema):
    immutable_fields = ("remaining_count",)

    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    code = Text(
        required=True,
        min=1,
        max=64,
        metadata={"description": CODE_DESCRIPTION, "examples": list(CODE_EXAMPLES)},
    )
    init_count = StrictInteger(
        required=True,
        min=0,
        max=MAX_COUNT,
        metadata={
            "description": f"{INIT_COUNT_DESCRIPTION} "
            "A change moves `remaining_count` by the difference.",
            "examples": [1000],
        },
    )
    remaining_count = StrictInteger(
        min=0,
        max=MAX_COUNT,
        metadata={
            "description": f"{REMAINING_COUNT_DESCRIPTION} "
            "`init_count` by default; read-only later.",
            "examples": [1000],
        },
    )
    percent_off = StrictInteger(
        min=0,
        max=100,
        allow_none=True,
        metadata={"description": "Taken off an order, in percent.", "examples": [15]},
    )
    valid_from = UtcDateTime(allow_none=True, metadata={"description": "Null for always."})
    valid_until = UtcDateTime(
        allow_none=True,
        metadata={
            "description": "The first moment at which it is no longer valid; null for never.",
            "examples": ["2099-12-31T23:59:59.000000+00:00"],
        },
    )
    per_user_limit = StrictInteger(
        min=1,
        max=MAX_COUNT,
        allow_none=True,
        metadata={"description": "How often one user may use it.", "examples": [2]},
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)

    @validates_schema(skip_on_field_errors=False)
    def check(self, values: dict[str, Any], **_: Any) -> None:
        """Complain about values that do not go together, as far as they are all sent."""
        complaints = {}
        if exceeds_init_count(values):
            detail = "Must not be more than the initial count."
            complaints["remaining_count"] = [CodedMessage("out-of-range", detail)]
        start, end = values.get("valid_from"), values.get("valid_until")
        if start and end and end <= start:
            detail = "Must be later than valid_from."
            complaints["valid_until"] = [CodedMessage("out-of-range", detail)]
        if complaints:
            raise ValidationError(complaints)


class CouponListQuery(ListQuerySchema):
    sort = Sort(Coupon.pk, Coupon.code, Coupon.created_at)
    code = Text(
        max=64,
        example=EXAMPLE_CODE.upper(),
        metadata={"description": "Exactly this code, in any case."},
    )
    active = QueryBoolean(metadata={"description": "Whether it can be used now, by somebody."})


class RedemptionSchema(Schema):
    pk = Pk(dump_only=True, example="01a17e55-d42c-7a86-a97a-0ced4580daa6")
    coupon_id = Pk(
        dump_only=True,
        example=EXAMPLE_REDEEMED_PK,
        metadata={"description": "The coupon that is used."},
    )
    user_id = Pk(
        dump_only=True,
        allow_none=True,
        example=EXAMPLE_OWNER_PK,
        metadata={"description": "Who used it; null with open access."},
    )
    order_id = Pk(
        dump_only=True,
        allow_none=True,
        example="01a17e55-d42b-7f94-95fa-3a460c744f85",
        metadata={"description": "The order that it was used for, if it was for one."},
    )
    remaining_count = StrictInteger(
        min=0,
        max=MAX_COUNT,
        dump_only=True,
        attribute="coupon.remaining_count",
        metadata={"description": "How often the coupon may still be used.", "examples": [497]},
    )
    released_at = UtcDateTime(
        dump_only=True,
        allow_none=True,
        metadata={
            "description": "When its order was cancelled, and the use given back.",
            "examples": [None],
        },
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class RedemptionListQuery(ListQuerySchema):
    sort = Sort(Redemption.pk, Redemption.created_at)
