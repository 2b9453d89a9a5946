"""Orders over HTTP."""

from typing import Any
from uuid import UUID

from flask import Response

from alchemist.api import Blueprint, Resource, openapi
from alchemist.api.blueprint import get_representation
from alchemist.api.idempotency import idempotent
from alchemist.api.request import request
from alchemist.database import Query, rolled_back

from . import auth, service
from .models import Order
from .schemas import EXAMPLE_PAID_PK, OrderCreateSchema, OrderListQuery, OrderSchema

blp = Blueprint("orders", __name__, url_prefix="/api/v2/orders", description="What was bought.")
ORDER_PARAMETER = OrderSchema()


def place(values: dict[str, Any]) -> Order:
    if values.get("coupon_code") is not None:
        request.caller.require("coupons:redeem")
    return service.place(request.caller.user_id, **values)


@blp.route("")
class OrderList(Resource):
    permissions = {"get": auth.READ, "post": auth.WRITE}

    @blp.list(OrderSchema, OrderListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List orders

        One's own; with the permission `sales:read` also those with products of one's own stores,
        with `orders:read:any` all.
        """
        return service.list_query(**filters | auth.visibility())

    @idempotent
    @blp.arguments(OrderCreateSchema)
    @blp.create(OrderSchema, service.by_pk)
    def post(self, values: dict[str, Any]) -> Order:
        """Place an order

        All of it or nothing: prices are kept, stock is taken, the coupon is redeemed. A refusal
        names every obstacle at once. A coupon needs the permission `coupons:redeem`.
        """
        return place(values)


@blp.route("/quote")
class QuoteOrder(Resource):
    permissions = {"post": auth.WRITE}

    @idempotent
    @blp.arguments(OrderCreateSchema)
    @blp.doc(
        responses={
            200: openapi.response("What the order would be.", OrderSchema, openapi.ETAG_HEADERS),
            **openapi.error_responses(406, 409, 413, 415),
        }
    )
    def post(self, values: dict[str, Any]) -> Response:
        """Ask what an order would cost

        Answers what placing it would answer, refusals included, and changes nothing.
        """
        with rolled_back():
            return get_representation(ORDER_PARAMETER, service.by_pk(place(values).pk)).answer()


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
    @blp.action(OrderSchema, auth.own_as_buyer)
    def post(self, order: Order) -> None:
        """Pay an order

        One that is placed. Those of others are paid with the permission `orders:write:any` only.
        """
        service.pay(order)


@blp.route("/<uuid:pk>/fulfil")
class FulfilOrder(Resource):
    permissions = {"post": auth.FULFIL}

    @idempotent
    @blp.doc(parameters=[openapi.path_parameter_example("pk", EXAMPLE_PAID_PK)])
    @blp.action(OrderSchema, auth.own_as_seller)
    def post(self, order: Order) -> None:
        """Fulfil an order

        One that is paid, by who owns all of the stores in it; by others with the permission
        `orders:fulfil:any` only.
        """
        service.fulfil(order)


@blp.route("/<uuid:pk>/cancel")
class CancelOrder(Resource):
    permissions = {"post": auth.WRITE}

    @idempotent
    @blp.action(OrderSchema, auth.own_as_buyer)
    def post(self, order: Order) -> None:
        """Cancel an order

        One that is placed or paid; its stock and its coupon are given back. Those of others are
        cancelled with the permission `orders:write:any` only.
        """
        service.cancel(order)
