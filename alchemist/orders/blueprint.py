"""Orders over HTTP."""

from typing import Any
from uuid import UUID

from flask import Response

from alchemist.db import Query, undone
from alchemist.idempotency import idempotent
from alchemist.rest import Blueprint, Resource, openapi
from alchemist.rest.blueprint import fetch
from alchemist.rest.request import request

from . import auth, service
from .models import Order
from .schemas import PAID, OrderFilters, OrderSchema, WantedOrderSchema

blp = Blueprint("orders", __name__, url_prefix="/api/v2/orders", description="What was bought.")
ORDER = OrderSchema()


def place(values: dict[str, Any]) -> Order:
    if values.get("coupon_code") is not None:
        request.caller.require("coupons:redeem")
    return service.place(request.caller.user_id, **values)


@blp.route("")
class Orders(Resource):
    permissions = {"get": auth.READ, "post": auth.WRITE}

    @blp.lists(OrderSchema, OrderFilters)
    def get(self, filters: dict[str, Any]) -> Query:
        """List orders

        One's own; with the permission `sales:read` also those with products of one's own stores,
        with `orders:read:any` all.
        """
        return service.browse(**filters | auth.reach())

    @idempotent
    @blp.arguments(WantedOrderSchema)
    @blp.creates(OrderSchema, service.get)
    def post(self, values: dict[str, Any]) -> Order:
        """Place an order

        All of it or nothing: prices are kept, stock is taken, the coupon is redeemed. A refusal
        names every obstacle at once. A coupon needs the permission `coupons:redeem`.
        """
        return place(values)


@blp.route("/quote")
class Quote(Resource):
    permissions = {"post": auth.WRITE}

    @idempotent
    @blp.arguments(WantedOrderSchema)
    @blp.doc(
        responses={
            200: openapi.response("What the order would be.", OrderSchema, openapi.ETAG),
            **openapi.refusals(406, 409, 413, 415),
        }
    )
    def post(self, values: dict[str, Any]) -> Response:
        """Ask what an order would cost

        Answers what placing it would answer, refusals included, and changes nothing.
        """
        with undone():
            return fetch(ORDER, service.get(place(values).pk)).answer()


@blp.route("/<uuid:pk>")
class OneOrder(Resource):
    permissions = {"get": auth.READ}

    @blp.shows(OrderSchema)
    def get(self, pk: UUID) -> Query:
        """Get an order"""
        return auth.readable(pk)


@blp.route("/<uuid:pk>/pay")
class PaidOrder(Resource):
    permissions = {"post": auth.WRITE}

    @idempotent
    @blp.acts(OrderSchema, auth.bought)
    def post(self, order: Order) -> None:
        """Pay an order

        One that is placed. Those of others are paid with the permission `orders:write:any` only.
        """
        service.pay(order)


@blp.route("/<uuid:pk>/fulfil")
class FulfilledOrder(Resource):
    permissions = {"post": auth.FULFIL}

    @idempotent
    @blp.doc(parameters=[openapi.instance("pk", PAID)])
    @blp.acts(OrderSchema, auth.sold)
    def post(self, order: Order) -> None:
        """Fulfil an order

        One that is paid, by who owns all of the stores in it; by others with the permission
        `orders:fulfil:any` only.
        """
        service.fulfil(order)


@blp.route("/<uuid:pk>/cancel")
class CancelledOrder(Resource):
    permissions = {"post": auth.WRITE}

    @idempotent
    @blp.acts(OrderSchema, auth.bought)
    def post(self, order: Order) -> None:
        """Cancel an order

        One that is placed or paid; its stock and its coupon are given back. Those of others are
        cancelled with the permission `orders:write:any` only.
        """
        service.cancel(order)
