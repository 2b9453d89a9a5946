"""The operations that place and change orders."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Uuid, bindparam, exists, func, select, update
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist import errors
from alchemist.domains.coupons import service as coupons
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.users import service as users
from alchemist.errors import ErrorDetail

from . import cart, pricing, stock
from .insertion import insert_order
from .models import TRANSITIONS, Order, OrderItem
from .viewer import UNRESTRICTED, Viewer, allowed_transitions, may_fulfil_item

errors.register_problem_type(
    "order-expired",
    409,
    "The order was not paid in time. It can only be cancelled, and soon will be.",
    "The order was not paid in time.",
)
errors.register_problem_type(
    "too-many-open-orders",
    409,
    "The caller has as many orders that are not paid as the service allows. Pay or cancel some.",
    "You have 100 orders that are not paid, which is the maximum.",
)
errors.register_problem_type(
    "wrong-status",
    409,
    "The order's status does not allow this. `allowed_transitions` lists what it allows.",
    "The order is paid. Allowed actions: fulfil, cancel.",
)


DEFAULT_TTL = timedelta(days=1)


def place(
    user_id: UUID | None,
    *,
    items: Sequence[Mapping[str, Any]],
    coupon_code: str | None = None,
    hero_id: UUID | None = None,
    expected_totals: Sequence[Mapping[str, Any]] | None = None,
    single_currency: bool = False,
    ttl: timedelta = DEFAULT_TTL,
    max_open_orders: int = 0,
) -> Row[tuple[UUID]]:
    """Redeem the coupon, reserve the stock and insert the order, or raise and change nothing.

    Return a row with the `pk` of the order. Locks the coupon first and then the products by pk, as
    all operations do. Raises UnprocessableContent if a product does not exist or a price is too
    large, else Conflict with every reason why the order cannot be placed. It expires after `ttl`.
    The user may have `max_open_orders` that are not paid; 0 is any number.
    """
    order_id = uuid7()
    coupon = _lock_coupon(coupon_code) if coupon_code else None
    redemption_id, conflicts = _redeem_or_list_reasons(coupon, user_id, order_id)
    quantities, indexes = cart.quantities_and_indexes(items)
    cart_items = stock.reserve_available(quantities)
    percent_off = (coupon and coupon.percent_off) or 0
    prices = cart.price_items(cart_items, indexes, percent_off)
    totals = pricing.calculate_totals(prices)
    if single_currency:
        cart.check_single_currency(totals)
    conflicts += cart.out_of_stock_errors(cart_items, indexes)
    if expected_totals is not None:
        conflicts += cart.price_mismatch_errors(totals, expected_totals)
    if conflicts:
        raise errors.Conflict("The order cannot be placed.", conflicts)
    if max_open_orders and user_id is not None:
        _check_open_order_limit(user_id, max_open_orders)
    stock.queue_stock_audit_entries(item.product_id for item in cart_items if item.is_reserved)
    values = {
        "pk": order_id,
        "user_id": user_id,
        "hero_id": hero_id,
        "redemption_id": redemption_id,
        "coupon_code": coupon and coupon.code,
        "totals": totals,
    }
    return insert_order(values, ttl, cart_items, prices)


def _lock_coupon(code: str) -> Coupon:
    try:
        coupon: Coupon = db.lock_row(coupons.by_code(code))
    except errors.NotFound as error:
        raise errors.UnprocessableContent.at_location(
            "pointer", "#/coupon_code", f"No coupon {code}.", "unknown-reference"
        ) from error
    return coupon


def _redeem_or_list_reasons(
    coupon: Coupon | None, user_id: UUID | None, order_id: UUID
) -> tuple[UUID | None, list[ErrorDetail]]:
    """Redeem the coupon; return the pk of the redemption, or the reasons why it is rejected."""
    if coupon is None:
        return None, []
    try:
        return coupons.redeem(coupon, user_id, order_id).pk, []
    except errors.Conflict as conflict:
        return None, [{"pointer": "#/coupon_code", **error} for error in conflict.errors]


def _check_open_order_limit(user_id: UUID, maximum: int) -> None:
    """Raise Conflict if the user has as many open orders as allowed.

    The lock of the user lets the next order of the user count this one. It is taken after those of
    the coupon and the products.
    """
    db.lock_row(users.by_pk(user_id))
    count = db.session.scalar(COUNT_OPEN_ORDERS, {"user_id": user_id}) or 0
    if count >= maximum:
        detail = f"You have {count} orders that are not paid, which is the maximum."
        raise errors.Conflict(detail, code="too-many-open-orders")


def pay(order: Order, viewer: Viewer = UNRESTRICTED) -> None:
    """Pay a locked order; raise Conflict if it has expired, or its status does not allow it."""
    _check_transition(order, "pay", viewer)
    if db.session.scalar(IS_EXPIRED, {"order_pk": order.pk}):
        raise errors.Conflict("The order was not paid in time.", code="order-expired")
    db.update(order, {"status": "paid", "expires_at": None})


def fulfil(order: Order, viewer: Viewer = UNRESTRICTED) -> None:
    """Fulfil the items of a locked order that the viewer sells; raise Conflict if there are none.

    The order is partially fulfilled as long as other sellers have not fulfilled theirs.
    """
    _check_transition(order, "fulfil", viewer)
    # An UPDATE takes only the parameters that it has.
    seller = {name: viewer[name] for name in ("fulfiller_id", "fulfils_all")}
    if not db.session.scalars(FULFIL_ITEMS, {"order_pk": order.pk, **seller}).all():
        detail = "The items that you sell are fulfilled."
        raise _wrong_status_error(order, detail, viewer)
    is_partial = db.session.scalar(HAS_UNFULFILLED_ITEMS, {"order_pk": order.pk})
    db.mark_modified(order, "items")
    db.update(order, {"status": "partially_fulfilled" if is_partial else "fulfilled"})


def cancel(order: Order, viewer: Viewer = UNRESTRICTED) -> None:
    """Cancel a locked order, release its redemption and return its stock.

    The order is locked before the coupon and the products. That cannot deadlock with `place`,
    which holds those locks but waits for no existing order.
    """
    _check_transition(order, "cancel", viewer)
    if order.redemption_id is not None:
        coupons.release(order.redemption_id)
    stock.return_stock(order.pk)
    # Last: it writes all audit entries with one statement.
    db.update(order, {"status": "cancelled", "expires_at": None})


def cancel_one_expired_order() -> Order | None:
    """Cancel one expired order, and return it; return None if there is none.

    An order that another transaction has locked is skipped: it is paid or cancelled there.
    """
    order: Order | None = db.session.scalars(LOCK_EXPIRED_ORDER).one_or_none()
    if order is not None:
        cancel(order)
    return order


def _check_transition(order: Order, action: str, viewer: Viewer) -> None:
    if action not in TRANSITIONS[order.status]:
        raise _wrong_status_error(order, f"The order is {order.status}.", viewer)


def _wrong_status_error(order: Order, detail: str, viewer: Viewer) -> errors.Conflict:
    """Return an error with the actions that the viewer may do instead."""
    actions = db.session.scalar(ALLOWED_TRANSITIONS, {**viewer, "order_pk": order.pk})
    sentence = f"Allowed actions: {', '.join(actions)}." if actions else "No action is allowed."
    return errors.Conflict(f"{detail} {sentence}", code="wrong-status", allowed_transitions=actions)


LOCK_EXPIRED_ORDER = (
    select(Order)
    .where(Order.expires_at <= func.statement_timestamp())
    .order_by(Order.expires_at)
    .limit(1)
    .with_for_update(key_share=True, skip_locked=True)
    .execution_options(populate_existing=True)
)
COUNT_OPEN_ORDERS = select(func.count()).where(
    Order.user_id == bindparam("user_id"), Order.status == "placed"
)
ORDER_PK = bindparam("order_pk", type_=Uuid())
IS_EXPIRED = select(Order.expires_at <= func.clock_timestamp()).where(Order.pk == ORDER_PK)
ALLOWED_TRANSITIONS = select(allowed_transitions(Order)).where(Order.pk == ORDER_PK)
# The order is locked, so no other seller fulfils items of it meanwhile.
FULFIL_ITEMS = (
    update(db.table(OrderItem))
    .where(OrderItem.order_id == ORDER_PK, may_fulfil_item(OrderItem))
    .values(fulfilled_at=func.clock_timestamp())
    .returning(OrderItem.position)
)
HAS_UNFULFILLED_ITEMS = select(
    exists().where(OrderItem.order_id == ORDER_PK, OrderItem.fulfilled_at.is_(None))
)
