"""Orders of v1."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, literal_column

from alchemist import database as db
from alchemist import errors
from alchemist.api import JsonResponse, openapi, problem_codes
from alchemist.api.fields import UTC_ZONE, List, Nested, UtcDateTime
from alchemist.api.rate_limits import count_as_costly
from alchemist.api.request import request
from alchemist.database import Query
from alchemist.domains.orders import auth, service, viewer
from alchemist.domains.orders.schemas import EXAMPLE_PK
from alchemist.domains.orders.visible_fields import VisibleItems
from alchemist.domains.products.schemas import EXAMPLE_PK as PRODUCT
from alchemist.domains.stores.currencies import MAX_DECIMALS, MAX_DIGITS
from alchemist.errors import ErrorDetail

from . import PREFIX
from .blueprint import Blueprint, Resource
from .fields import MAX_INT4, MAX_ITEMS, IntegerOrText, MoneyAsNumber, UuidOrHex
from .products import ProductSchema
from .schema import Schema
from .stores import NOT_FOUND

blp = Blueprint("v1-orders", __name__, url_prefix=f"{PREFIX}/orders", description="Orders.")
QUANTITY = {"description": "The number of pieces.", "examples": [2]}


class NaiveUtcDateTime(UtcDateTime):
    """A date and time in UTC, without an offset."""

    sql_format: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US'""")

    def __init__(self, **kwargs: Any) -> None:
        # The format `date-time` has an offset.
        metadata = {"format": "date-time-local"}
        super().__init__(example="2026-11-20T07:15:00.123456", metadata=metadata, **kwargs)

    def _serialize(self, value: datetime | None, *args: Any, **kwargs: Any) -> str | None:
        if value is None:
            return None
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")

    @staticmethod
    def to_sql(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.to_char(func.timezone(UTC_ZONE, column), NaiveUtcDateTime.sql_format)


class Total(MoneyAsNumber):
    """The total of an order in a single currency; for sellers, of their own items."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        [total] = value
        return float(total["total"])

    @staticmethod
    def row_to_sql(row: Any) -> ColumnElement[Any]:
        total = viewer.visible_totals(row)[0]["total"]
        return MoneyAsNumber.to_sql(total.as_numeric(MAX_DIGITS + MAX_DECIMALS, MAX_DECIMALS))


class OrderSchema(Schema):
    order_id = UuidOrHex(
        dump_only=True,
        attribute="pk",
        data_key="orderId",
        example=EXAMPLE_PK,
        description="The primary key of the order.",
    )
    placed_at = NaiveUtcDateTime(data_key="date", description="When it was placed, in UTC.")
    totals = Total(data_key="total", description="The total, in the currency.", example=25.0)


class ItemSchema(Schema):
    quantity = IntegerOrText(min=1, max=MAX_INT4, metadata=QUANTITY)
    product = Nested(ProductSchema, description="The product as it is now, with its current price.")


class OrderDetailSchema(OrderSchema):
    items = VisibleItems(
        Nested(ItemSchema),
        max=MAX_ITEMS,
        description="One item for each product; for sellers, their own.",
    )


class OrderItemCreateSchema(Schema):
    # Not a reference for the parser: v1 has its own error for an unknown product.
    product_id = UuidOrHex(
        required=True,
        data_key="productId",
        example=PRODUCT,
        description="The product. Quantities of the same product are added up. "
        "`product_id` is accepted, too.",
    )
    quantity = IntegerOrText(required=True, min=1, max=MAX_INT4, metadata=QUANTITY)


class OrderCreateSchema(Schema):
    """The body of a request that places an order."""

    items = List(
        Nested(OrderItemCreateSchema),
        required=True,
        min=1,
        max=MAX_ITEMS,
        description="The products to order.",
    )


def place_with_v1_errors(items: Sequence[Mapping[str, Any]]) -> Row[tuple[UUID]]:
    """Place an order; raise BadRequest for unknown products, with the detail of v1."""
    try:
        limits = auth.order_limits()
        return service.place(request.caller.user_id, items=items, single_currency=True, **limits)
    except errors.UnprocessableContent as error:
        details = [_to_v1_error(detail, items) for detail in error.errors]
        unknown = [detail for detail in details if detail["code"] == "unknown-reference"]
        if not unknown:
            raise
        raise errors.BadRequest(
            unknown[0]["detail"], details, code="unknown-reference", status=400
        ) from error


def _to_v1_error(error: ErrorDetail, items: Sequence[Mapping[str, Any]]) -> ErrorDetail:
    if error["code"] != "unknown-reference":
        return error
    item_pointer = error["pointer"].rpartition("/")[0]
    pk = items[int(item_pointer.rpartition("/")[2])]["product_id"]
    detail = f"Product with productId = {pk} not found."
    return {"pointer": item_pointer, "code": "unknown-reference", "detail": detail}


def reject_several_currencies(view: Callable[..., Any]) -> Callable[..., Any]:
    """Answer with 409 in place of 404 if the order is readable, but in several currencies."""

    def wrapper(self: Any, pk: UUID) -> JsonResponse:
        try:
            response: JsonResponse = view(self, pk)
        except errors.NotFound:
            query = auth.readable_query(pk)
            if db.fetch_one(query.select, query.parameters) is None:
                raise
            detail = f"The order is in several currencies. Use /api/v2/orders/{pk}."
            raise errors.Conflict(detail, code="mixed-currencies", status=409) from None
        return response

    return openapi.documented_like(
        wrapper,
        view,
        responses=openapi.with_common_error_responses(409),
        **problem_codes.as_operation_member("mixed-currencies", status=409),
    )


@blp.route("/")
class V1OrderList(Resource):
    permissions = {"get": auth.READ, "post": auth.WRITE}

    @blp.list(OrderSchema)
    def get(self) -> Query:
        """List orders

        Your own orders. With the permission `sales:read` also orders with products of your stores,
        with `orders:read:any` all orders. Orders in several currencies are left out.
        """
        return auth.list_query(single_currency=True)

    @count_as_costly
    @blp.create(
        OrderDetailSchema,
        auth.just_placed_query,
        body=OrderCreateSchema,
        in_session=True,
        problems=["mixed-currencies", "out-of-stock", "too-many-open-orders"],
    )
    @blp.doc(**problem_codes.as_operation_member("unknown-reference", status=400))
    def post(self, values: dict[str, Any]) -> Row[tuple[UUID]]:
        """Place an order

        All of its products must be in one currency.
        """
        return place_with_v1_errors(values["items"])


@blp.route("/<uuid_or_hex:pk>")
class V1OrderItem(Resource):
    permissions = {"get": auth.READ}

    @reject_several_currencies
    @blp.retrieve(OrderDetailSchema, not_found_detail=NOT_FOUND)
    def get(self, pk: UUID) -> Query:
        """Get an order

        Version 1 has one total for an order: 409 if it is in several currencies.
        """
        return auth.readable_query(pk, single_currency=True)
