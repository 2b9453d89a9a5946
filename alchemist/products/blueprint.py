"""Products over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.db import Query
from alchemist.idempotency import idempotent
from alchemist.rest import PUBLIC, Blueprint, Resource

from . import auth, service
from .models import Product
from .schemas import ProductFilters, ProductSchema, RestockSchema

blp = Blueprint(
    "products", __name__, url_prefix="/api/v2/products", description="What can be bought."
)


@blp.route("")
class Products(Resource):
    permissions = {"get": PUBLIC, "post": auth.WRITE}

    @blp.lists(ProductSchema, ProductFilters)
    def get(self, filters: dict[str, Any]) -> Query:
        """List products

        With `potion_id`: where a potion can be bought.
        """
        return service.browse(**filters)

    @idempotent
    @blp.arguments(ProductSchema)
    @blp.creates(ProductSchema, service.get)
    def post(self, values: dict[str, Any]) -> Product:
        """Offer a product

        In a store of somebody else this needs the permission `products:write:any`.
        """
        return service.create(**values)


@blp.route("/<uuid:pk>")
class OneProduct(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.shows(ProductSchema)
    def get(self, pk: UUID) -> Query:
        """Get a product"""
        return service.get(pk)

    @blp.changes(ProductSchema, auth.writable)
    def patch(self, product: Product, changes: dict[str, Any]) -> None:
        """Change a product

        Orders keep the price that they were placed at. Products of others are changed with the
        permission `products:write:any` only.
        """
        service.update(product, changes)

    @blp.deletes(ProductSchema, auth.writable)
    def delete(self, product: Product) -> None:
        """Delete a product

        One that was ordered is kept: 409 names some of the orders.
        """
        service.delete(product)


@blp.route("/<uuid:pk>/restock")
class Restock(Resource):
    permissions = {"post": auth.WRITE}

    @idempotent
    @blp.acts(ProductSchema, auth.writable, taking=RestockSchema)
    def post(self, product: Product, values: dict[str, Any]) -> None:
        """Add to the stock of a product

        What is sold at the same time is not lost, so this needs no `If-Match`. 409 if the stock is
        unlimited.
        """
        service.restock(product, values["quantity"])
