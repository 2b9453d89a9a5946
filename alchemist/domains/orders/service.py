"""Queries of orders, and the operations that place and change them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import aliased
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist import errors
from alchemist.domains.coupons import service as coupons
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.products.models import Product
from alchemist.domains.products.service import store_pks_of_owner_select
from alchemist.errors import ErrorDetail

from . import cart, pricing, stock
from .models import TRANSITIONS, Order, OrderItem

errors.register(
    "wrong-status",
    409,
    "The order's status does not allow this. `allowed_transitions` lists what it allows.",
    "The order is paid. Allowed actions: fulfil, cancel.",
)


@db.cached_query
def by_pk(
    pk: UUID,
    *,
    buyer_id: UUID | None = None,
    seller_id: UUID | None = None,
    sole_seller_id: UUID | None = None,
    single_currency: bool = False,
) -> Select[Any]:
    """Select an order if the buyer placed it or the seller owns the store of an item.

    With `sole_seller_id`, select it only if that user owns the stores of all items, with
    `single_currency`, only if all items have the same currency.
    """
    query = _restrict_to_visible(select(Order).where(Order.pk == pk), buyer_id, seller_id)
    if single_currency:
        query = query.where(func.json_array_length(Order.totals) == 1)
    if sole_seller_id is not None:
        query = query.where(~_has_items_of_other_sellers(sole_seller_id))
    return query


@db.cached_query
def list_query(
    *,
    buyer_id: UUID | None = None,
    seller_id: UUID | None = None,
    status: str | None = None,
    user_id: UUID | None = None,
    product_id: UUID | None = None,
    placed_after: datetime | None = None,
    placed_before: datetime | None = None,
    single_currency: bool = False,
) -> Select[Any]:
    query = _restrict_to_visible(select(Order), buyer_id, seller_id)
    if single_currency:
        query = query.where(func.json_array_length(Order.totals) == 1)
    if status is not None:
        query = query.where(Order.status == status)
    if user_id is not None:
        query = query.where(Order.user_id == user_id)
    if product_id is not None:
        # A product is in an order only once, so the join does not repeat orders.
        query = query.join(OrderItem, OrderItem.order_id == Order.pk)
        query = query.where(OrderItem.product_id == product_id)
    if placed_after is not None:
        query = query.where(Order.placed_at >= placed_after)
    if placed_before is not None:
        query = query.where(Order.placed_at < placed_before)
    return query


def _restrict_to_visible(
    query: Select[Any], buyer_id: UUID | None, seller_id: UUID | None
) -> Select[Any]:
    if buyer_id is None:
        return query
    if seller_id is None:
        return query.where(Order.user_id == buyer_id)
    # UNION, not OR: the planner would evaluate an OR for every order in the table.
    bought = aliased(Order)
    bought_by = select(bought.pk).where(bought.user_id == buyer_id)
    return query.where(Order.pk.in_(bought_by.union(_order_pks_sold_by(seller_id))))


def _order_pks_sold_by(seller_id: Any) -> Select[Any]:
    items = select(OrderItem.order_id).join(Product, Product.pk == OrderItem.product_id)
    return items.where(Product.store_id.in_(store_pks_of_owner_select(seller_id)))


def _has_items_of_other_sellers(seller_id: Any) -> Any:
    items = select(OrderItem.order_id).join(Product, Product.pk == OrderItem.product_id)
    sold_by_others = items.where(
        OrderItem.order_id == Order.pk,
        Product.store_id.not_in(store_pks_of_owner_select(seller_id)),
    )
    return exists(sold_by_others.correlate(Order))


def place(
    user_id: UUID | None,
    *,
    items: Sequence[Mapping[str, Any]],
    coupon_code: str | None = None,
    hero_id: UUID | None = None,
    expected_totals: Sequence[Mapping[str, Any]] | None = None,
    single_currency: bool = False,
) -> Order:
    """Redeem the coupon, reserve the stock and insert the order, or raise and change nothing.

    Locks the coupon first and then the products by pk, as all operations do. Raises
    UnprocessableContent if a reference is unknown or a price is too large, else Conflict with
    every reason why the order cannot be placed.
    """
    order_id = uuid7()
    coupon = _lock_coupon(coupon_code) if coupon_code else None
    redemption_id, conflicts = _redeem(coupon, user_id, order_id)
    quantities, first_indexes = cart.quantities_and_first_indexes(items)
    cart_items = stock.reserve_available(quantities)
    percent_off = (coupon and coupon.percent_off) or 0
    prices = cart.price_items(cart_items, first_indexes, percent_off)
    totals = pricing.calculate_totals(prices)
    if single_currency:
        cart.check_single_currency(totals)
    conflicts += cart.out_of_stock_errors(cart_items, first_indexes)
    if expected_totals is not None:
        conflicts += cart.price_mismatch_errors(totals, expected_totals)
    if conflicts:
        raise errors.Conflict("The order cannot be placed.", conflicts)
    references = {"user_id": user_id, "hero_id": hero_id, "redemption_id": redemption_id}
    # now() is the start of the transaction: prices are read later, after the wait for locks.
    placed_at = func.clock_timestamp()
    order = db.insert(Order(pk=order_id, placed_at=placed_at, totals=totals, **references))
    stock.insert_items(order_id, cart_items, prices)
    return order


def _lock_coupon(code: str) -> Coupon:
    try:
        coupon: Coupon = db.lock_row(coupons.by_code(code))
    except errors.NotFound as error:
        raise errors.UnprocessableContent.at_location(
            "pointer", "#/coupon_code", f"No coupon {code}.", "unknown-reference"
        ) from error
    return coupon


def _redeem(
    coupon: Coupon | None, user_id: UUID | None, order_id: UUID
) -> tuple[UUID | None, list[ErrorDetail]]:
    """Redeem the coupon; return the pk of the redemption, or the reasons why it is rejected."""
    if coupon is None:
        return None, []
    try:
        return coupons.redeem(coupon, user_id, order_id).pk, []
    except errors.Conflict as conflict:
        return None, [{"pointer": "#/coupon_code", **error} for error in conflict.errors]


def pay(order: Order) -> None:
    _transition(order, "pay")


def fulfil(order: Order) -> None:
    _transition(order, "fulfil")


def cancel(order: Order) -> None:
    """Cancel a locked order; release its redemption and return its stock.

    The order is locked before the coupon and the products. That cannot deadlock with `place`,
    which holds those locks but waits for no existing order.
    """
    _transition(order, "cancel")
    if order.redemption_id is not None:
        coupons.release(order.redemption_id)
    stock.return_stock(order.pk)


def _transition(order: Order, action: str) -> None:
    """Set the status of a locked order; raise Conflict if its status does not allow the action."""
    allowed = TRANSITIONS[order.status]
    if action not in allowed:
        raise errors.Conflict(
            f"The order is {order.status}. {_describe_transitions(allowed)}",
            code="wrong-status",
            allowed_transitions=list(allowed),
        )
    db.update(order, {"status": allowed[action]})


def _describe_transitions(actions: Iterable[str]) -> str:
    return f"Allowed actions: {', '.join(actions)}." if actions else "No action is allowed."
