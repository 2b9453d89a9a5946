"""What can be done with orders: each takes all that it needs, or nothing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, exists, select
from sqlalchemy.orm import aliased
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist import errors
from alchemist.domains.coupons import service as coupons
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.products.models import Product
from alchemist.domains.products.service import store_pks_of_owner
from alchemist.errors import ErrorDetail

from . import cart, pricing, stock
from .models import TRANSITIONS, Order, OrderItem

errors.register(
    "wrong-status",
    409,
    "The status of the order does not allow this; `allowed_transitions` are what it does allow.",
    "A fulfilled order cannot be cancelled.",
)


@db.cached_query
def by_pk(
    pk: UUID,
    *,
    buyer: UUID | None = None,
    seller: UUID | None = None,
    only_seller: UUID | None = None,
) -> Select[Any]:
    """Return an order, if it is one of the `buyer`, or one with products of the `seller`.

    Or, with `only_seller`, one without products of anybody else.
    """
    found = _visible_to(select(Order).where(Order.pk == pk), buyer, seller)
    return found if only_seller is None else found.where(~_has_items_of_other_sellers(only_seller))


@db.cached_query
def list_query(
    *,
    buyer: UUID | None = None,
    seller: UUID | None = None,
    status: str | None = None,
    user_id: UUID | None = None,
    product_id: UUID | None = None,
    placed_after: datetime | None = None,
    placed_before: datetime | None = None,
) -> Select[Any]:
    found = _visible_to(select(Order), buyer, seller)
    if status is not None:
        found = found.where(Order.status == status)
    if user_id is not None:
        found = found.where(Order.user_id == user_id)
    if product_id is not None:
        # An order has one line of a product, so that this finds it once.
        found = found.join(OrderItem, OrderItem.order_id == Order.pk)
        found = found.where(OrderItem.product_id == product_id)
    if placed_after is not None:
        found = found.where(Order.placed_at >= placed_after)
    if placed_before is not None:
        found = found.where(Order.placed_at < placed_before)
    return found


def _visible_to(found: Select[Any], buyer: UUID | None, seller: UUID | None) -> Select[Any]:
    if buyer is None:
        return found
    if seller is None:
        return found.where(Order.user_id == buyer)
    # One set and not two conditions: of an OR the planner would try every order that there is.
    bought = aliased(Order)
    own = select(bought.pk).where(bought.user_id == buyer)
    return found.where(Order.pk.in_(own.union(_sold_by(seller))))


def _sold_by(seller: Any) -> Select[Any]:
    lines = select(OrderItem.order_id).join(Product, Product.pk == OrderItem.product_id)
    return lines.where(Product.store_id.in_(store_pks_of_owner(seller)))


def _has_items_of_other_sellers(seller: Any) -> Any:
    lines = select(OrderItem.order_id).join(Product, Product.pk == OrderItem.product_id)
    others = lines.where(
        OrderItem.order_id == Order.pk, Product.store_id.not_in(store_pks_of_owner(seller))
    )
    return exists(others.correlate(Order))


def place(
    user_id: UUID | None,
    *,
    items: Sequence[Mapping[str, Any]],
    coupon_code: str | None = None,
    hero_id: UUID | None = None,
    expected_totals: Sequence[Mapping[str, Any]] | None = None,
    in_one_currency: bool = False,
) -> Order:
    """Take the stock, redeem the coupon and keep the prices; raise Conflict with all obstacles.

    Locks the coupon first and then the products, as everybody does.
    """
    pk = uuid7()
    quantities, places = cart.merge_items(items)
    coupon = _lock_coupon(coupon_code) if coupon_code else None
    redemption_id, obstacles = _redeem(coupon, user_id, pk)
    wanted = {"product_ids": list(quantities), "quantities": list(quantities.values())}
    sales = db.session.execute(stock.RESERVE_STOCK, wanted).all()
    try:
        charges = cart.price_lines(sales, places, (coupon and coupon.percent_off) or 0)
        totals = pricing.totals(charges)
        if in_one_currency:
            cart.check_currency(totals)
        obstacles += cart.out_of_stock_errors(sales, places)
        if expected_totals is not None:
            obstacles += cart.price_mismatches(totals, expected_totals)
        if obstacles:
            raise errors.Conflict("The order cannot be placed as it is.", obstacles)
    except errors.ApiError:
        _check_currencies(sales)
        raise
    references = {"user_id": user_id, "hero_id": hero_id, "redemption_id": redemption_id}
    order = db.insert(Order(pk=pk, totals=totals, **references))
    lines = {"order_id": pk} | cart.item_columns(sales, charges)
    written: Any = db.session.execute(stock.INSERT_ITEMS, lines)
    if written.rowcount < len(sales):
        raise errors.RetryRequest("A store has changed its currency.")
    return order


def _check_currencies(sales: Iterable[Row[Any]]) -> None:
    """Raise Outdated if a store has another currency than the one that was told with its prices."""
    told = {sale.product_id: sale.currency for sale in sales if sale.currency}
    found = db.session.execute(stock.CURRENCIES, {"product_ids": list(told)})
    if {row.pk: row.currency for row in found} != told:
        raise errors.RetryRequest("A store has changed its currency.")


def _lock_coupon(code: str) -> Coupon:
    try:
        found: Coupon = db.lock_row(coupons.by_code(code))
    except errors.NotFound as missing:
        detail = f"No coupon {code}."
        place = "#/coupon_code"
        raise errors.UnprocessableContent.at_location(
            "pointer", place, detail, "unknown-reference"
        ) from missing
    return found


def _redeem(
    coupon: Coupon | None, user_id: UUID | None, order_id: UUID
) -> tuple[UUID | None, list[ErrorDetail]]:
    """Return the key of the redemption, or what stands in its way."""
    if coupon is None:
        return None, []
    try:
        return coupons.redeem(coupon, user_id, order_id).pk, []
    except errors.Conflict as refused:
        return None, [{"pointer": "#/coupon_code", **entry} for entry in refused.errors]


def pay(order: Order) -> None:
    _transition(order, "pay")


def fulfil(order: Order) -> None:
    _transition(order, "fulfil")


def cancel(order: Order) -> None:
    """Give stock and coupon back.

    An order is locked before the coupon and the products: whoever holds those waits for none that
    is there already.
    """
    _transition(order, "cancel")
    if order.redemption_id is not None:
        coupons.release(order.redemption_id)
    db.session.execute(stock.RETURN_STOCK, {"order_id": order.pk})


def _transition(order: Order, transition: str) -> None:
    """Let an order that is held have its next status; raise Conflict if there is no such way."""
    allowed = TRANSITIONS[order.status]
    if transition not in allowed:
        raise errors.Conflict(
            f"The order is {order.status}: {_describe_transitions(allowed)}.",
            code="wrong-status",
            allowed_transitions=list(allowed),
        )
    db.update(order, {"status": allowed[transition]})


def _describe_transitions(verbs: Iterable[str]) -> str:
    return f"one can {' or '.join(verbs)} it" if verbs else "nothing more can be done with it"
