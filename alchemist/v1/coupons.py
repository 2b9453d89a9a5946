"""The older service of coupons."""

from typing import Any
from uuid import UUID

from marshmallow import ValidationError, validates_schema

from alchemist.coupons import service
from alchemist.coupons.models import Coupon
from alchemist.coupons.schemas import (
    CODE,
    CODES,
    EXAMPLE,
    INIT_COUNT,
    MOST,
    REMAINING_COUNT,
    is_too_much,
)
from alchemist.db import Query
from alchemist.fields import Complaint, Pk, Text, Whole

from . import PREFIX
from .contract import Blueprint, Resource, Schema

blp = Blueprint(
    "v1-coupons",
    __name__,
    url_prefix=f"{PREFIX}/coupons",
    description="The older service of coupons.",
)


class CouponSchema(Schema):
    id = Pk(
        dump_only=True,
        attribute="pk",
        example=EXAMPLE,
        metadata={"description": "The primary key of the coupon."},
    )
    code = Text(
        required=True, min=1, max=64, metadata={"description": CODE, "examples": list(CODES)}
    )
    init_count = Whole(
        required=True, min=0, max=MOST, metadata={"description": INIT_COUNT, "examples": [1000]}
    )
    remaining_count = Whole(
        min=0,
        max=MOST,
        allow_none=True,
        metadata={
            "description": f"{REMAINING_COUNT} `init_count` by default, and with null.",
            "examples": [1000],
        },
    )

    @validates_schema(skip_on_field_errors=False)
    def check_counts(self, values: dict[str, Any], **_: Any) -> None:
        """Complain about counts that do not go together, beside whatever else is wrong."""
        if is_too_much(values):
            complaint = Complaint("out-of-range", "Must be between 0 and the initial count.")
            raise ValidationError({"remaining_count": [complaint]})


@blp.route("/")
class OldCoupons(Resource):
    permissions = {"post": "coupons:write"}

    @blp.arguments(CouponSchema)
    @blp.makes(CouponSchema, service.get)
    def post(self, values: dict[str, Any]) -> Coupon:
        """Issue a coupon"""
        return service.create(**values)


@blp.route("/<uuid:pk>")
class OldCoupon(Resource):
    permissions = {"get": "coupons:read"}

    @blp.one_of(CouponSchema)
    def get(self, pk: UUID) -> Query:
        """Get a coupon"""
        return service.get(pk)
