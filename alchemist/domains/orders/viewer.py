"""What a caller sees of an order, and may do with it, as SQL expressions.

A buyer sees all of an order. A seller sees the items of own stores and their totals, but neither
the hero nor the coupon.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    String,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from alchemist.domains.products.service import store_pks_of_owner_select

from .models import TRANSITIONS, OrderItem

# The values of the bound parameters of the expressions.
Viewer = Mapping[str, Any]
# A caller who has every permission.
UNRESTRICTED: Viewer = {
    # The caller, and whether they see all of every order.
    "viewer_id": None,
    "sees_all": True,
    # The user whose orders the caller may pay and cancel, and whether they may do so with all.
    "writer_id": None,
    "writes_all": True,
    # The user whose items the caller may fulfil, and whether they may do so with all.
    "fulfiller_id": None,
    "fulfils_all": True,
}
VIEWER_ID, WRITER_ID, FULFILLER_ID = (
    bindparam(name, type_=Uuid()) for name in ("viewer_id", "writer_id", "fulfiller_id")
)
SEES_ALL, WRITES_ALL, FULFILS_ALL = (
    bindparam(name, type_=Boolean()) for name in ("sees_all", "writes_all", "fulfils_all")
)


def is_whole_order_visible(order: Any) -> ColumnElement[bool]:
    """Return whether the caller sees all of an order."""
    return or_(SEES_ALL, order.user_id == VIEWER_ID)


def is_item_visible(order: Any, item: Any) -> ColumnElement[bool]:
    return or_(
        is_whole_order_visible(order), item.store_id.in_(store_pks_of_owner_select(VIEWER_ID))
    )


def visible_totals(order: Any) -> ColumnElement[Any]:
    """Return the totals of the items that the caller sees, one object for each currency."""
    sums = (
        select(
            OrderItem.currency,
            func.sum(OrderItem.quantity * OrderItem.unit_price).label("subtotal"),
            func.sum(OrderItem.discount).label("discount"),
            func.sum(OrderItem.total).label("total"),
        )
        .where(OrderItem.order_id == order.pk)
        .where(OrderItem.store_id.in_(store_pks_of_owner_select(VIEWER_ID)))
        .group_by(OrderItem.currency)
        .correlate(order)
        .subquery()
    )
    members: list[Any] = [literal_column("'currency'"), sums.c.currency]
    for name in ("subtotal", "discount", "total"):
        members += [literal_column(f"'{name}'"), cast(sums.c[name], String)]
    objects = aggregate_order_by(func.json_build_object(*members, type_=JSON), sums.c.currency)
    own_totals = select(func.json_agg(objects, type_=JSON)).scalar_subquery()
    return case((is_whole_order_visible(order), order.totals), else_=own_totals)


def may_fulfil_item(item: Any) -> ColumnElement[bool]:
    is_own = or_(FULFILS_ALL, item.store_id.in_(store_pks_of_owner_select(FULFILLER_ID)))
    return and_(item.fulfilled_at.is_(None), is_own)


def allowed_transitions(order: Any) -> ColumnElement[Any]:
    """Return the JSON array of the actions that the status allows, and the caller may do."""
    can_write = or_(WRITES_ALL, order.user_id == WRITER_ID)
    own_items = select(OrderItem).where(OrderItem.order_id == order.pk, may_fulfil_item(OrderItem))
    has_own_items = exists(own_items.correlate(order))
    arrays = {
        status: case(
            (and_(can_write, has_own_items), _json_array_literal(allowed)),
            (can_write, _json_array_literal(name for name in allowed if name != "fulfil")),
            (has_own_items, _json_array_literal(name for name in allowed if name == "fulfil")),
            else_=_json_array_literal(()),
        )
        for status, allowed in TRANSITIONS.items()
        if allowed
    }
    # Orders that are paid have no `expires_at`.
    is_expired = order.expires_at <= func.statement_timestamp()
    return case(
        (and_(is_expired, can_write), _json_array_literal(["cancel"])),
        else_=case(arrays, value=order.status, else_=_json_array_literal(())),
    )


def _json_array_literal(names: Iterable[str]) -> ColumnElement[Any]:
    return literal_column(f"'{json.dumps(list(names))}'::json", JSON)
