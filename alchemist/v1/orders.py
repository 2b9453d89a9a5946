"""The orders of the older service of stores, products and orders."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, literal_column

from alchemist import errors
from alchemist.api.fields import UTC_ZONE, List, Nested, Pk, StrictInteger, UtcDateTime
from alchemist.api.request import request
from alchemist.database import Query
from alchemist.domains.orders import auth, service
from alchemist.domains.orders.models import Order
from alchemist.domains.orders.schemas import EXAMPLE_PK, MAX_QUANTITY
from alchemist.domains.products.schemas import EXAMPLE_PK as PRODUCT
from alchemist.errors import ErrorDetail

from . import PREFIX
from .blueprint import Blueprint, Resource, Schema
from .products import MoneyNumber, ProductSchema
from .stores import NOT_FOUND

blp = Blueprint(
    "v1-orders",
    __name__,
    url_prefix=f"{PREFIX}/orders",
    description="The older service of stores, products and orders: orders.",
)
ITEMS = "What is bought."


class NaiveUtcDateTime(UtcDateTime):
    """An instant in UTC that does not say so."""

    form: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US'""")

    def __init__(self, *, meaning: str, **how: Any) -> None:
        metadata = {
            "description": meaning,
            # Not a `date-time`, which has an offset.
            "format": "date-time-local",
            "examples": ["2026-11-20T07:15:00.123456"],
        }
        super().__init__(metadata=metadata, **how)

    def _serialize(self, value: datetime | None, *args: Any, **kwargs: Any) -> str | None:
        if value is None:
            return None
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")

    @staticmethod
    def to_sql(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.to_char(func.timezone(UTC_ZONE, column), NaiveUtcDateTime.form)


class Total(MoneyNumber):
    """The total of an order, null if it has one in each of several currencies."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return float(value[0]["total"]) if len(value) == 1 else None

    @staticmethod
    def to_sql(column: ColumnElement[Any]) -> ColumnElement[Any]:
        is_one = func.json_array_length(column) == 1
        return case((is_one, func.trim_scale(column[0]["total"].as_numeric(12, 2))))


class OrderSchema(Schema):
    order_id = Pk(
        dump_only=True,
        attribute="pk",
        data_key="orderId",
        example=EXAMPLE_PK,
        metadata={"description": "The primary key of the order."},
    )
    placed_at = NaiveUtcDateTime(data_key="date", meaning="When it was placed, in UTC.")
    totals = Total(
        data_key="total",
        allow_none=True,
        meaning="What is to be paid; null if products are in several currencies, as orders of "
        "version 2 may have them.",
        example=25.0,
    )


class ItemSchema(Schema):
    quantity = StrictInteger(
        min=1, max=100 * MAX_QUANTITY, metadata={"description": "How many of it.", "examples": [2]}
    )
    product = Nested(
        ProductSchema, metadata={"description": "The product as it is now, its price included."}
    )


class OrderDetailSchema(OrderSchema):
    items = List(Nested(ItemSchema), max=100, metadata={"description": ITEMS})


class OrderItemCreateSchema(Schema):
    # Looked up by the order: here a product that is not there is 400, in words of its own.
    product_id = Pk(
        required=True,
        data_key="productId",
        example=PRODUCT,
        metadata={
            "description": "What is bought; on several lines it is added up. `product_id` is "
            "read, too."
        },
    )
    quantity = StrictInteger(
        required=True,
        min=1,
        max=MAX_QUANTITY,
        metadata={"description": "How many of it.", "examples": [2]},
    )


class OrderCreateSchema(Schema):
    """An order to be placed."""

    items = List(
        Nested(OrderItemCreateSchema),
        required=True,
        min=1,
        max=100,
        metadata={"description": ITEMS},
    )


def place(items: Sequence[Mapping[str, Any]]) -> Order:
    """Place an order; raise Malformed if it wants products that are not there."""
    try:
        return service.place(request.caller.user_id, items=items, single_currency=True)
    except errors.UnprocessableContent as refused:
        entries = [_to_v1_error(entry, items) for entry in refused.errors]
        absent = [entry for entry in entries if entry["code"] == "unknown-reference"]
        if not absent:
            raise
        detail = absent[0]["detail"]
        raise errors.BadRequest(detail, entries, code="unknown-reference", status=400) from refused


def _to_v1_error(entry: ErrorDetail, items: Sequence[Mapping[str, Any]]) -> ErrorDetail:
    if entry["code"] != "unknown-reference":
        return entry
    line, _, _ = entry["pointer"].rpartition("/")
    pk = items[int(line.rpartition("/")[2])]["product_id"]
    detail = f"Product with productId = {pk} not found."
    return {"pointer": line, "code": "unknown-reference", "detail": detail}


@blp.route("/")
class V1OrderList(Resource):
    permissions = {"get": auth.READ, "post": auth.WRITE}

    @blp.list(OrderSchema)
    def get(self) -> Query:
        """List orders

        Your own orders. With the permission `sales:read` also orders with products of your stores,
        with `orders:read:any` all orders.
        """
        return service.list_query(**auth.visibility())

    @blp.create(OrderSchema, service.by_pk, body=OrderCreateSchema, in_session=True)
    def post(self, values: dict[str, Any]) -> Order:
        """Place an order

        All of its products must be in one currency.
        """
        return place(values["items"])


@blp.route("/<uuid_or_hex:pk>")
class V1OrderItem(Resource):
    permissions = {"get": auth.READ}

    @blp.retrieve(OrderDetailSchema, NOT_FOUND)
    def get(self, pk: UUID) -> Query:
        """Get an order"""
        return auth.readable_query(pk)
