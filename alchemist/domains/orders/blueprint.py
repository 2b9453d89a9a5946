"""Orders over HTTP."""

from typing import Any
from uuid import UUID

from flask import Response
from sqlalchemy import Row

from alchemist.api import Blueprint, Resource, openapi, problem_codes
from alchemist.api.idempotency import idempotent
from alchemist.api.operations import get_representation
from alchemist.api.rate_limits import COUPON_MISSES, count_as_costly, limit_misses
from alchemist.api.request import request
from alchemist.database import Query, rolled_back
from alchemist.domains.coupons import service as coupons

from . import auth, service
from .models import Order
from .request_schemas import OrderCreateSchema, QuoteCreateSchema
from .schemas import EXAMPLE_PAID_PK, OrderListQuery, OrderSchema, QuoteSchema

blp = Blueprint("orders", __name__, url_prefix="/api/v2/orders", description="Orders of products.")
QUOTE_SCHEMA = QuoteSchema()
# `conflict` is for several reasons of different codes. A price may be too large for a total.
PLACE_PROBLEMS = (
    "conflict",
    "out-of-range",
    "out-of-stock",
    "price-changed",
    "too-many-open-orders",
    *coupons.REJECTION_CODES,
)


def place_order(values: dict[str, Any]) -> Row[tuple[UUID]]:
    if values.get("coupon_code") is not None:
        request.caller.require("coupons:redeem")
    return service.place(request.caller.user_id, **values, **auth.order_limits())


@blp.route("")
class OrderList(Resource):
    permissions = {"get": auth.READ, "post": auth.WRITE}

    @blp.list(OrderSchema, OrderListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List orders

        Your own orders. With the permission `sales:read` also orders with products of your stores,
        with `orders:read:any` all orders. Of an order that you only sell, you see the items of your
        stores and their totals, but neither the hero nor the coupon.
        """
        return auth.list_query(**filters)

    @count_as_costly
    @idempotent
    @limit_misses(COUPON_MISSES, "coupon_code")
    @blp.create(
        OrderSchema,
        auth.just_placed_query,
        body=OrderCreateSchema,
        in_session=True,
        authorize=auth.check_hero_owner,
        problems=PLACE_PROBLEMS,
    )
    def post(self, values: dict[str, Any]) -> Row[tuple[UUID]]:
        """Place an order

        One transaction reserves the stock, redeems the coupon and stores the current prices. If it
        fails, nothing changes, and the response lists all reasons. A coupon needs the permission
        `coupons:redeem`.
        """
        return place_order(values)


@blp.route("/quote")
class QuoteOrder(Resource):
    permissions = {"post": auth.WRITE}

    @count_as_costly
    @limit_misses(COUPON_MISSES, "coupon_code")
    @blp.arguments(QuoteCreateSchema, authorize=auth.check_hero_owner)
    @blp.doc(
        responses={
            200: openapi.response_object(
                "The order as it would be placed.", QuoteSchema, openapi.ETAG_HEADERS
            ),
            **openapi.with_common_error_responses(406, 409, 413, 415),
        },
        **problem_codes.as_operation_member(*PLACE_PROBLEMS),
    )
    def post(self, values: dict[str, Any]) -> Response:
        """Quote an order

        The response is that of placing the order, errors included, but nothing is changed. It has
        neither a `pk` nor transitions. Without the permission `coupons:read`, a code that is
        unknown and one that cannot be used now have the same error.
        """
        with rolled_back(), auth.hidden_coupon_errors():
            order = place_order(values)
            return get_representation(QUOTE_SCHEMA, auth.just_placed_query(order.pk)).to_response()


@blp.route("/<uuid:pk>")
class OrderDetail(Resource):
    permissions = {"get": auth.READ}

    @blp.retrieve(OrderSchema)
    def get(self, pk: UUID) -> Query:
        """Get an order"""
        return auth.readable_query(pk)


@blp.route("/<uuid:pk>/pay")
class PayOrder(Resource):
    permissions = {"post": auth.WRITE}

    @idempotent
    @blp.action(
        OrderSchema,
        auth.query_as_buyer,
        problems=["order-expired", "wrong-status"],
        example={"status": "paid", "allowed_transitions": ["cancel"]},
    )
    def post(self, order: Order) -> None:
        """Pay an order

        Its status must be `placed`. Orders of other users need the permission `orders:write:any`.
        """
        service.pay(order, auth.viewer_parameters())


@blp.route("/<uuid:pk>/fulfil")
class FulfilOrder(Resource):
    permissions = {"post": auth.FULFIL}

    @idempotent
    @blp.action(
        OrderSchema,
        auth.query_as_seller,
        problems=["wrong-status"],
        example={"pk": EXAMPLE_PAID_PK, "status": "fulfilled", "allowed_transitions": []},
    )
    @blp.doc(parameters=[openapi.path_parameter_example("pk", EXAMPLE_PAID_PK)])
    def post(self, order: Order) -> None:
        """Fulfil an order

        Its status must be `paid` or `partially_fulfilled`. Fulfils the items of your stores, or all
        of them with the permission `orders:fulfil:any`. When all are, the order is `fulfilled`.
        """
        service.fulfil(order, auth.viewer_parameters())


@blp.route("/<uuid:pk>/cancel")
class CancelOrder(Resource):
    permissions = {"post": auth.WRITE}

    @idempotent
    @blp.action(
        OrderSchema,
        auth.query_as_buyer,
        problems=["wrong-status"],
        example={"status": "cancelled", "allowed_transitions": []},
    )
    def post(self, order: Order) -> None:
        """Cancel an order

        Its status must be `placed` or `paid`. Returns its stock and releases its coupon. Orders of
        other users need the permission `orders:write:any`.
        """
        service.cancel(order, auth.viewer_parameters())
