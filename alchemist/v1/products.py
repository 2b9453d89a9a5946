"""Products of v1."""

from typing import Any
from uuid import UUID

from alchemist import database as db
from alchemist import errors
from alchemist.api import PUBLIC, problem_codes
from alchemist.api.fields import Nested
from alchemist.api.request import request
from alchemist.database import Query
from alchemist.domains.products import auth, service
from alchemist.domains.products.models import Product
from alchemist.domains.products.schemas import EXAMPLE_PK, NAME_DESCRIPTION
from alchemist.domains.stores import service as stores
from alchemist.domains.stores.schemas import EXAMPLE_PK as STORE

from . import PREFIX
from .blueprint import Blueprint, Resource
from .fields import MoneyAsNumber, TextOrNumber, UuidOrHex
from .schema import Schema
from .stores import NOT_FOUND, StoreSchema

blp = Blueprint("v1-products", __name__, url_prefix=f"{PREFIX}/products", description="Products.")
CONFLICT = "Conflict Error"


class ProductSchema(Schema):
    immutable_fields = ("store_id",)

    product_id = UuidOrHex(
        dump_only=True,
        attribute="pk",
        data_key="productId",
        example=EXAMPLE_PK,
        description="The primary key of the product.",
    )
    # Not a reference for the parser: v1 has its own error for an unknown store.
    store_id = UuidOrHex(
        required=True,
        data_key="storeId",
        example=STORE,
        description="The store that sells the product; ignored in a change. "
        "`store_id` is accepted, too.",
    )
    name = TextOrNumber(
        required=True,
        min=1,
        max=255,
        example="Beekeeper's Apology, small bottle",
        description=NAME_DESCRIPTION,
    )
    price = MoneyAsNumber(
        required=True,
        description="The price of one piece, in the currency of the store.",
        example=12.5,
    )
    description = TextOrNumber(
        max=2000,
        allow_none=True,
        example="Corked and sealed with yellow wax.",
        description="A description of the product.",
    )
    store = Nested(StoreSchema, dump_only=True, description="The store.")


def lock_store_and_check_owner(pk: UUID) -> None:
    """Lock the store of a new product.

    Raises BadRequest if it does not exist, and Forbidden if the caller may not sell there.
    """
    try:
        store = db.lock_row(stores.by_pk(pk))
    except errors.NotFound as error:
        detail = f"Store with storeId = {pk} not found."
        raise errors.BadRequest(detail, code="unknown-reference", status=400) from error
    request.caller.check_owner(auth.WRITE, store.owner_id, "#/storeId")


@blp.route("/")
class V1ProductList(Resource):
    permissions = {"get": PUBLIC, "post": auth.WRITE}

    @blp.list(ProductSchema)
    def get(self) -> Query:
        """List products"""
        return service.list_query()

    @blp.create(
        ProductSchema,
        service.by_pk,
        body=ProductSchema,
        in_session=True,
        conflict_detail=CONFLICT,
        problems=["already-exists", "out-of-range"],
    )
    @blp.doc(**problem_codes.as_operation_member("unknown-reference", status=400))
    def post(self, values: dict[str, Any]) -> Product:
        """Create a product

        Its stock is unlimited. In a store of another owner this needs the permission
        `products:write:any`.
        """
        lock_store_and_check_owner(values["store_id"])
        return db.insert(service.create(**values))


@blp.route("/<uuid_or_hex:pk>")
class V1ProductItem(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.retrieve(ProductSchema, not_found_detail=NOT_FOUND)
    def get(self, pk: UUID) -> Query:
        """Get a product"""
        return service.by_pk(pk)

    @blp.update(
        ProductSchema,
        auth.writable_query,
        not_found_detail=NOT_FOUND,
        conflict_detail=CONFLICT,
        no_content=True,
        problems=["already-exists", "out-of-range"],
    )
    def patch(self, product: Product, changes: dict[str, Any]) -> None:
        """Change a product"""
        service.update(product, changes)

    @blp.destroy(auth.writable_query, not_found_detail=NOT_FOUND)
    def delete(self, product: Product) -> None:
        """Delete a product

        A product with orders cannot be deleted: 409 names some of them.
        """
        service.delete(product)
