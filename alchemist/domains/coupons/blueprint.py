"""Coupons over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.api import Blueprint, Resource, openapi
from alchemist.api.batch_resource import add_batch
from alchemist.api.idempotency import idempotent
from alchemist.api.operations import get_representation
from alchemist.api.request import request
from alchemist.database import Query, lock_row

from . import service
from .models import Coupon
from .schemas import CouponListQuery, CouponSchema, RedemptionListQuery, RedemptionSchema

blp = Blueprint(
    "coupons", __name__, url_prefix="/api/v2/coupons", description="Discounts on orders."
)
COUPON_PARAMETER = CouponSchema()


def readable_redemption_query(coupon_id: UUID, pk: UUID) -> Query:
    user_id = request.caller.owner_filter("redemptions:read")
    return service.redemption_by_pk(pk, coupon_id, user_id=user_id)


@blp.route("")
class CouponList(Resource):
    permissions = {"get": "coupons:read", "post": "coupons:write"}

    @blp.list(CouponSchema, CouponListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List coupons"""
        return service.list_query(**filters)

    @idempotent
    @blp.create(CouponSchema, service.by_pk, body=CouponSchema, problems=["already-exists"])
    def post(self, values: dict[str, Any]) -> Coupon:
        """Create a coupon"""
        return service.create(**values)


@blp.route("/<uuid:pk>")
class CouponItem(Resource):
    permissions = {"get": "coupons:read", "patch": "coupons:write", "delete": "coupons:write"}

    @blp.retrieve(CouponSchema)
    def get(self, pk: UUID) -> Query:
        """Get a coupon"""
        return service.by_pk(pk)

    @blp.update(CouponSchema, service.by_pk, problems=["already-exists", "conflict"])
    def patch(self, coupon: Coupon, changes: dict[str, Any]) -> None:
        """Update a coupon

        A new `init_count` changes `remaining_count` by the same difference. An `init_count` below
        the number of uses is a conflict (409).
        """
        service.update_with_remaining_count(coupon, changes)

    @blp.destroy(CouponSchema, service.by_pk, problems=["in-use"])
    def delete(self, coupon: Coupon) -> None:
        """Delete a coupon

        A redeemed coupon cannot be deleted: the 409 lists some of its redemptions.
        """
        service.delete(coupon)


add_batch(blp, "/batch", CouponList, CouponItem)


@blp.route("/<uuid:coupon_id>/redemptions")
class RedemptionList(Resource):
    permissions = {"get": "redemptions:read", "post": "coupons:redeem"}
    operation_ids = {"post": "redeemCoupon"}

    @blp.list(RedemptionSchema, RedemptionListQuery)
    @blp.doc(responses={404: openapi.response_component_name(404)})
    def get(self, filters: dict[str, Any], coupon_id: UUID) -> Query:
        """List a coupon's redemptions

        Includes released ones. Redemptions of other users need the permission
        `redemptions:read:any`.
        """
        get_representation(COUPON_PARAMETER, service.by_pk(coupon_id))
        user_id = request.caller.owner_filter("redemptions:read")
        return service.list_redemptions_query(coupon_id, user_id=user_id)

    @idempotent
    @blp.create(
        RedemptionSchema,
        readable_redemption_query,
        body=None,
        in_session=True,
        problems=["conflict", *service.REJECTION_CODES],
    )
    @blp.doc(responses={404: openapi.response_component_name(404)})
    def post(self, coupon_id: UUID) -> Any:
        """Redeem a coupon without an order

        The coupon is used once. The request has no body.
        """
        return service.redeem(lock_row(service.by_pk(coupon_id)), request.caller.user_id)


@blp.route("/<uuid:coupon_id>/redemptions/<uuid:pk>")
class RedemptionItem(Resource):
    permissions = {"get": "redemptions:read"}

    @blp.retrieve(RedemptionSchema)
    def get(self, coupon_id: UUID, pk: UUID) -> Query:
        """Get a redemption

        Redemptions of other users need the permission `redemptions:read:any`.
        """
        return readable_redemption_query(coupon_id, pk)
