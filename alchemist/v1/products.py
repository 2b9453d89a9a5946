"""The products of the older service of stores, products and orders."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from marshmallow import fields as marshmallow_fields
from sqlalchemy import ColumnElement, func

from alchemist import db, errors
from alchemist.db import Query
from alchemist.fields import COMMON, Complaint, Nested, Pk, Text
from alchemist.products import auth, service
from alchemist.products.models import Product
from alchemist.products.schemas import EXAMPLE, NAME, Money
from alchemist.rest import PUBLIC
from alchemist.rest.request import request
from alchemist.stores import service as stores
from alchemist.stores.schemas import EXAMPLE as STORE

from . import PREFIX
from .contract import Blueprint, Resource, Schema
from .stores import ABSENT, StoreSchema

blp = Blueprint(
    "v1-products",
    __name__,
    url_prefix=f"{PREFIX}/products",
    description="The older service of stores, products and orders: products.",
)
TAKEN = "Conflict Error"
NOT_A_NUMBER = Complaint("wrong-type", "Not a decimal number.")


class Amount(marshmallow_fields.Decimal):
    """An amount of money as a JSON number, which text may stand for: exact on the way in and out.

    What JSON says of a number is read as the shortest decimal that means the same; to PostgreSQL
    it is a decimal all along.
    """

    default_error_messages = COMMON

    def __init__(self, *, meaning: str, example: float, **how: Any) -> None:
        self.exact = Money(
            meaning=meaning, example=str(example), error_messages={"type": NOT_A_NUMBER}
        )
        metadata = {
            "description": meaning,
            "minimum": 0,
            "maximum": 9999999999.99,
            "multipleOf": 0.01,
            "examples": [example],
        }
        super().__init__(metadata=metadata, **how)

    @property
    def written(self) -> dict[str, Any]:
        return {"type": ["number", "string"], "pattern": self.exact.metadata["pattern"]}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        if isinstance(value, int | float) and not isinstance(value, bool):
            # Of zero there is a negative one, which is no less.
            value = f"{Decimal(repr(value)) + 0:f}"
        amount: Decimal = self.exact.deserialize(value, attr, data)
        return amount

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return None if value is None else float(value)

    @staticmethod
    def project(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.trim_scale(column)


class ProductSchema(Schema):
    settled = ("store_id",)

    product_id = Pk(
        dump_only=True,
        attribute="pk",
        data_key="productId",
        example=EXAMPLE,
        metadata={"description": "The primary key of the product."},
    )
    # Looked up by the view: here a store that is not there is 400, in words of its own.
    store_id = Pk(
        required=True,
        data_key="storeId",
        example=STORE,
        metadata={"description": "Where it is sold; it stays there. `store_id` is read, too."},
    )
    name = Text(
        required=True,
        min=1,
        max=255,
        example="Beekeeper's Apology, small bottle",
        metadata={"description": NAME},
    )
    price = Amount(
        required=True,
        meaning="Of one piece, in the currency of the store; at most two digits after the point.",
        example=12.5,
    )
    description = Text(
        max=2000,
        allow_none=True,
        example="Corked and sealed with yellow wax.",
        metadata={"description": "What else there is to know about it."},
    )
    store = Nested(StoreSchema, dump_only=True, metadata={"description": "The store."})


def check_store(pk: UUID) -> None:
    """Hold the store of a new product; raise Malformed if there is none."""
    try:
        store = db.lock(stores.get(pk))
    except errors.NotFound as missing:
        detail = f"Store with storeId = {pk} not found."
        raise errors.Malformed(detail, code="absent-reference") from missing
    request.caller.check_own(auth.WRITE, store.owner_id)


@blp.route("/")
class OldProducts(Resource):
    permissions = {"get": PUBLIC, "post": auth.WRITE}

    @blp.all_of(ProductSchema)
    def get(self) -> Query:
        """List products"""
        return service.browse()

    @blp.arguments(ProductSchema)
    @blp.makes(ProductSchema, service.get, taken=TAKEN)
    def post(self, values: dict[str, Any]) -> Product:
        """Offer a product

        There is always more of it. In a store of somebody else this needs the permission
        `products:write:any`.
        """
        check_store(values["store_id"])
        return service.create(**values)


@blp.route("/<uuid:pk>")
class OldProduct(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.one_of(ProductSchema, ABSENT)
    def get(self, pk: UUID) -> Query:
        """Get a product"""
        return service.get(pk)

    @blp.edits(ProductSchema, auth.writable, ABSENT, TAKEN, silently=True)
    def patch(self, product: Product, changes: dict[str, Any]) -> None:
        """Change a product"""
        service.update(product, changes)

    @blp.drops(auth.writable, absent=ABSENT)
    def delete(self, product: Product) -> None:
        """Delete a product

        One that was ordered is kept: 409 names some of the orders.
        """
        service.delete(product)
