"""Coupons of v1."""

from typing import Any
from uuid import UUID

from marshmallow import ValidationError, validates_schema

from alchemist.api.fields import CodedMessage
from alchemist.database import Query
from alchemist.domains.coupons import service
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.coupons.schemas import (
    CODE_DESCRIPTION,
    CODE_EXAMPLES,
    EXAMPLE_PK,
    INIT_COUNT_DESCRIPTION,
    REMAINING_COUNT_DESCRIPTION,
    exceeds_init_count,
)

from . import PREFIX
from .blueprint import Blueprint, Resource
from .fields import MAX_INT4, IntegerOrText, TextOrNumber, UuidOrHex
from .schema import Schema

blp = Blueprint("v1-coupons", __name__, url_prefix=f"{PREFIX}/coupons", description="Coupons.")


class CouponSchema(Schema):
    id = UuidOrHex(
        dump_only=True,
        attribute="pk",
        example=EXAMPLE_PK,
        description="The primary key of the coupon.",
    )
    code = TextOrNumber(
        required=True,
        min=1,
        max=64,
        is_code=True,
        description=CODE_DESCRIPTION,
        examples=CODE_EXAMPLES,
    )
    init_count = IntegerOrText(
        required=True, min=0, max=MAX_INT4, description=INIT_COUNT_DESCRIPTION, example=1000
    )
    remaining_count = IntegerOrText(
        min=0,
        max=MAX_INT4,
        allow_none=True,
        description=f"{REMAINING_COUNT_DESCRIPTION} If absent or null, it is `init_count`.",
        example=1000,
    )

    @validates_schema(skip_on_field_errors=False)
    def check_counts(self, values: dict[str, Any], **_: Any) -> None:
        if exceeds_init_count(values):
            message = CodedMessage("out-of-range", "Must be between 0 and the initial count.")
            raise ValidationError({"remaining_count": [message]})


@blp.route("/")
class V1CouponList(Resource):
    permissions = {"post": "coupons:write"}

    @blp.create(CouponSchema, service.by_pk, body=CouponSchema, problems=["already-exists"])
    def post(self, values: dict[str, Any]) -> Coupon:
        """Issue a coupon"""
        return service.create(**values)


@blp.route("/<uuid_or_hex:pk>")
class V1CouponItem(Resource):
    permissions = {"get": "coupons:read"}

    @blp.retrieve(CouponSchema)
    def get(self, pk: UUID) -> Query:
        """Get a coupon"""
        return service.by_pk(pk)
