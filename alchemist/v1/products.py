"""The products of the older service of stores, products and orders."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from marshmallow import fields as marshmallow_fields
from sqlalchemy import ColumnElement, func

from alchemist import database as db
from alchemist import errors
from alchemist.api import PUBLIC
from alchemist.api.fields import DEFAULT_MESSAGES, CodedMessage, Nested, Pk, Text
from alchemist.api.request import request
from alchemist.database import Query
from alchemist.domains.products import auth, service
from alchemist.domains.products.models import Product
from alchemist.domains.products.schemas import EXAMPLE_PK, NAME_DESCRIPTION, Money
from alchemist.domains.stores import service as stores
from alchemist.domains.stores.schemas import EXAMPLE_PK as STORE

from . import PREFIX
from .blueprint import Blueprint, Resource, Schema
from .stores import NOT_FOUND, StoreSchema

blp = Blueprint(
    "v1-products",
    __name__,
    url_prefix=f"{PREFIX}/products",
    description="The older service of stores, products and orders: products.",
)
CONFLICT = "Conflict Error"
NOT_A_NUMBER = CodedMessage("wrong-type", "Not a decimal number.")


class MoneyNumber(marshmallow_fields.Decimal):
    """An amount of money as a JSON number, which text may stand for: exact on the way in and out.

    What JSON says of a number is read as the shortest decimal that means the same; to PostgreSQL
    it is a decimal all along.
    """

    default_error_messages = DEFAULT_MESSAGES

    def __init__(self, *, meaning: str, example: float, **how: Any) -> None:
        self.exact = Money(
            description=meaning, example=str(example), error_messages={"type": NOT_A_NUMBER}
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
    def request_schema(self) -> dict[str, Any]:
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
    def to_sql(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.trim_scale(column)


class ProductSchema(Schema):
    immutable_fields = ("store_id",)

    product_id = Pk(
        dump_only=True,
        attribute="pk",
        data_key="productId",
        example=EXAMPLE_PK,
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
        metadata={"description": NAME_DESCRIPTION},
    )
    price = MoneyNumber(
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
        store = db.lock_row(stores.by_pk(pk))
    except errors.NotFound as missing:
        detail = f"Store with storeId = {pk} not found."
        raise errors.BadRequest(detail, code="unknown-reference", status=400) from missing
    request.caller.check_owner(auth.WRITE, store.owner_id)


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
    )
    def post(self, values: dict[str, Any]) -> Product:
        """Offer a product

        There is always more of it. In a store of somebody else this needs the permission
        `products:write:any`.
        """
        check_store(values["store_id"])
        return db.insert(service.create(**values))


@blp.route("/<uuid_or_hex:pk>")
class V1ProductItem(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.retrieve(ProductSchema, NOT_FOUND)
    def get(self, pk: UUID) -> Query:
        """Get a product"""
        return service.by_pk(pk)

    @blp.update(ProductSchema, auth.writable_query, NOT_FOUND, CONFLICT, silently=True)
    def patch(self, product: Product, changes: dict[str, Any]) -> None:
        """Change a product"""
        service.update(product, changes)

    @blp.destroy(auth.writable_query, absent=NOT_FOUND)
    def delete(self, product: Product) -> None:
        """Delete a product

        One that was ordered is kept: 409 names some of the orders.
        """
        service.delete(product)
