"""Coupons over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.db import Query, lock
from alchemist.idempotency import idempotent
from alchemist.rest import Blueprint, Resource, openapi
from alchemist.rest.blueprint import fetch
from alchemist.rest.request import request

from . import service
from .models import Coupon
from .schemas import (
    CouponFilters,
    CouponSchema,
    RedemptionFilters,
    RedemptionSchema,
)

blp = Blueprint(
    "coupons", __name__, url_prefix="/api/v2/coupons", description="What makes orders cheaper."
)
COUPON = CouponSchema()


def readable_redemption(coupon_id: UUID, pk: UUID) -> Query:
    own = request.caller.own("redemptions:read")
    return service.get_redemption(pk, coupon_id, user_id=own)


@blp.route("")
class Coupons(Resource):
    permissions = {"get": "coupons:read", "post": "coupons:write"}

    @blp.lists(CouponSchema, CouponFilters)
    def get(self, filters: dict[str, Any]) -> Query:
        """List coupons"""
        return service.browse(**filters)

    @idempotent
    @blp.arguments(CouponSchema)
    @blp.creates(CouponSchema, service.get)
    def post(self, values: dict[str, Any]) -> Coupon:
        """Issue a coupon"""
        return service.create(**values)


@blp.route("/<uuid:pk>")
class OneCoupon(Resource):
    permissions = {"get": "coupons:read", "patch": "coupons:write", "delete": "coupons:write"}

    @blp.shows(CouponSchema)
    def get(self, pk: UUID) -> Query:
        """Get a coupon"""
        return service.get(pk)

    @blp.changes(CouponSchema, service.get)
    def patch(self, coupon: Coupon, changes: dict[str, Any]) -> None:
        """Change a coupon

        A new `init_count` moves `remaining_count` by the same difference; below what was used it
        is 409.
        """
        service.update(coupon, changes)

    @blp.deletes(CouponSchema, service.get)
    def delete(self, coupon: Coupon) -> None:
        """Delete a coupon

        One that was redeemed is kept: 409 names some of the redemptions.
        """
        service.delete(coupon)


@blp.route("/<uuid:coupon_id>/redemptions")
class Redemptions(Resource):
    permissions = {"get": "redemptions:read", "post": "coupons:redeem"}

    @blp.lists(RedemptionSchema, RedemptionFilters)
    @blp.doc(responses={404: openapi.component(404)})
    def get(self, filters: dict[str, Any], coupon_id: UUID) -> Query:
        """List a coupon's redemptions

        Released ones, too. Without the permission `redemptions:read:any` these are the caller's.
        """
        fetch(COUPON, service.get(coupon_id))
        own = request.caller.own("redemptions:read")
        return service.browse_redemptions(coupon_id, user_id=own)

    @idempotent
    @blp.creates(RedemptionSchema, readable_redemption)
    @blp.doc(responses={404: openapi.component(404)})
    def post(self, coupon_id: UUID) -> Any:
        """Redeem a coupon once, outside of an order

        It takes no body.
        """
        return service.redeem(lock(service.get(coupon_id)), request.caller.user_id)


@blp.route("/<uuid:coupon_id>/redemptions/<uuid:pk>")
class OneRedemption(Resource):
    permissions = {"get": "redemptions:read"}

    @blp.shows(RedemptionSchema)
    def get(self, coupon_id: UUID, pk: UUID) -> Query:
        """Get a redemption

        Those of others are seen with the permission `redemptions:read:any` only.
        """
        return readable_redemption(coupon_id, pk)
