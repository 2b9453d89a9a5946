"""Queries of orders, restricted to those that a buyer or a seller sees."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import aliased

from alchemist import database as db
from alchemist.domains.products.service import store_pks_of_owner_select

from .models import Order, OrderItem


@db.cached_query
def by_pk(
    pk: UUID,
    *,
    buyer_id: UUID | None = None,
    seller_id: UUID | None = None,
    only_seller_id: UUID | None = None,
    single_currency: bool = False,
) -> Select[Any]:
    """Select an order if the buyer placed it or the seller owns the store of an item.

    With `only_seller_id`, select it only if that user owns the store of an item, with
    `single_currency`, only if all items have the same currency.
    """
    query = _restrict_to_visible(select(Order).where(Order.pk == pk), buyer_id, seller_id)
    if single_currency:
        query = query.where(func.json_array_length(Order.totals) == 1)
    if only_seller_id is not None:
        query = query.where(Order.pk.in_(_order_pks_sold_by(only_seller_id)))
    return query


@db.cached_query
def list_query(
    *,
    buyer_id: UUID | None = None,
    seller_id: UUID | None = None,
    status: list[str] | None = None,
    user_id: UUID | None = None,
    store_id: UUID | None = None,
    product_id: UUID | None = None,
    placed_after: datetime | None = None,
    placed_before: datetime | None = None,
    single_currency: bool = False,
) -> Select[Any]:
    query = _restrict_to_visible(select(Order), buyer_id, seller_id)
    if single_currency:
        query = query.where(func.json_array_length(Order.totals) == 1)
    if status is not None:
        query = query.where(Order.status == func.any(status))
    if user_id is not None:
        query = query.where(Order.user_id == user_id)
    if store_id is not None:
        item = aliased(OrderItem)
        sold = select(item.order_id).where(item.store_id == store_id)
        query = query.where(Order.pk.in_(sold))
        query = _restrict_to_visible_item(query, store_id, buyer_id, seller_id)
    if product_id is not None:
        # A product is in an order only once, so the join does not repeat orders.
        query = query.join(OrderItem, OrderItem.order_id == Order.pk)
        query = query.where(OrderItem.product_id == product_id)
        query = _restrict_to_visible_item(query, OrderItem.store_id, buyer_id, seller_id)
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


def _restrict_to_visible_item(
    query: Select[Any], item_store_id: Any, buyer_id: UUID | None, seller_id: UUID | None
) -> Select[Any]:
    """Restrict a filter by an item to the items that the caller sees."""
    if seller_id is None:
        return query
    is_sold = item_store_id.in_(store_pks_of_owner_select(seller_id))
    return query.where(or_(Order.user_id == buyer_id, is_sold))


def _order_pks_sold_by(seller_id: Any) -> Select[Any]:
    stores = store_pks_of_owner_select(seller_id)
    return select(OrderItem.order_id).where(OrderItem.store_id.in_(stores))
