"""Products over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.api import PUBLIC, Blueprint, Resource
from alchemist.api.batch_resource import add_batch
from alchemist.api.idempotency import idempotent
from alchemist.database import Query

from . import auth, service
from .models import Product
from .schemas import ProductListQuery, ProductSchema, RestockSchema

blp = Blueprint(
    "products", __name__, url_prefix="/api/v2/products", description="Products of the stores."
)


@blp.route("")
class ProductList(Resource):
    permissions = {"get": PUBLIC, "post": auth.WRITE}

    @blp.list(ProductSchema, ProductListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List products

        Filter by `potion_id` to find the stores that sell a potion.
        """
        return service.list_query(**filters)

    @idempotent
    @blp.create(
        ProductSchema,
        service.by_pk,
        body=ProductSchema,
        authorize=auth.check_store_owner,
        problems=["already-exists"],
    )
    def post(self, values: dict[str, Any]) -> Product:
        """Create a product

        A store of another user needs the permission `products:write:any`.
        """
        return service.create(**values)


@blp.route("/<uuid:pk>")
class ProductItem(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.retrieve(ProductSchema)
    def get(self, pk: UUID) -> Query:
        """Get a product"""
        return service.by_pk(pk)

    @blp.update(ProductSchema, auth.writable_query, problems=["already-exists"])
    def patch(self, product: Product, changes: dict[str, Any]) -> None:
        """Update a product

        Placed orders keep their prices. Products of other users need the permission
        `products:write:any`.
        """
        service.update(product, changes)

    @blp.destroy(ProductSchema, auth.writable_query, problems=["in-use"])
    def delete(self, product: Product) -> None:
        """Delete a product

        An ordered product cannot be deleted: the 409 lists some of the orders.
        """
        service.delete(product)


add_batch(blp, "/batch", ProductList, ProductItem, create_many=service.create_many)


@blp.route("/<uuid:pk>/restock")
class RestockProduct(Resource):
    permissions = {"post": auth.WRITE}

    @idempotent
    @blp.action(
        ProductSchema,
        auth.writable_query,
        body=RestockSchema,
        problems=["conflict"],
        example={"stock": 52},
    )
    def post(self, product: Product, values: dict[str, Any]) -> None:
        """Add to the stock of a product

        Concurrent orders are taken into account, so `If-Match` is optional. An unlimited stock is a
        conflict (409).
        """
        service.restock(product, values["quantity"])
