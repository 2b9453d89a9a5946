"""Restricts orders to those that the caller may read, pay, cancel or fulfil."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask, current_app

from alchemist import errors
from alchemist.api.references import Reference
from alchemist.api.request import request
from alchemist.config import Settings
from alchemist.database import Query
from alchemist.domains.heroes import auth as heroes_auth
from alchemist.domains.heroes import service as heroes
from alchemist.domains.heroes.models import Hero

from . import queries

READ, READ_SALES = "orders:read", "sales:read"
WRITE, FULFIL = "orders:write", "orders:fulfil"
COUPON_POINTER = "#/coupon_code"
UNUSABLE_COUPON = {
    "pointer": COUPON_POINTER,
    "code": "coupon-not-valid",
    "detail": "You cannot use this coupon.",
}


def visibility_arguments() -> dict[str, Any]:
    """Return the arguments of `queries.by_pk` and `list_query` for orders the caller may read.

    These are the orders that the caller placed, and with `sales:read` those that the caller sells.
    """
    user_id = request.caller.owner_filter(READ)
    has_sales = READ_SALES in request.caller.permissions
    return {"buyer_id": user_id, "seller_id": user_id if has_sales else None}


def viewer_parameters() -> dict[str, Any]:
    """Return the values of `UNRESTRICTED` for the caller."""
    permissions, user_id = request.caller.permissions, request.caller.user_id
    extended = {f"{permission}:any" for permission in (READ, WRITE, FULFIL)} & permissions
    return {
        "viewer_id": user_id,
        "sees_all": bool(extended),
        "writer_id": user_id if WRITE in permissions else None,
        "writes_all": f"{WRITE}:any" in extended,
        "fulfiller_id": user_id if FULFIL in permissions else None,
        "fulfils_all": f"{FULFIL}:any" in extended,
    }


def just_placed_query(pk: UUID) -> Query:
    """Select an order that the caller has just placed."""
    return queries.by_pk(pk).with_parameters(viewer_parameters())


def list_query(**filters: Any) -> Query:
    return queries.list_query(**filters, **visibility_arguments()).with_parameters(
        viewer_parameters()
    )


def readable_query(pk: UUID, *, single_currency: bool = False) -> Query:
    query = queries.by_pk(pk, **visibility_arguments(), single_currency=single_currency)
    return query.with_parameters(viewer_parameters())


def query_as_buyer(pk: UUID) -> Query:
    query = queries.by_pk(pk, buyer_id=request.caller.owner_filter(WRITE))
    return query.with_parameters(viewer_parameters()).or_forbidden_if_in(
        readable_query(pk), f"{WRITE}:any"
    )


def query_as_seller(pk: UUID) -> Query:
    query = queries.by_pk(pk, only_seller_id=request.caller.owner_filter(FULFIL))
    return query.with_parameters(viewer_parameters()).or_forbidden_if_in(
        readable_query(pk), f"{FULFIL}:any"
    )


def check_hero_owner(references: Iterable[Reference]) -> None:
    """Raise Forbidden if an order refers to the hero of another user."""
    user_id = request.caller.owner_filter(heroes_auth.WRITE)
    for reference in references:
        if (
            user_id is not None
            and reference.target.model is Hero
            and heroes.exists_with_other_owner(reference.key, user_id)
        ):
            raise errors.Forbidden.missing_permission(f"{heroes_auth.WRITE}:any")


@contextmanager
def hidden_coupon_errors() -> Iterator[None]:
    """Replace the reasons why a coupon is rejected, unless the caller may read coupons.

    Otherwise a caller could find out which codes exist, one quote for each guess.
    """
    try:
        yield
    except (errors.Conflict, errors.UnprocessableContent) as error:
        others = [each for each in error.errors if each.get("pointer") != COUPON_POINTER]
        if "coupons:read" in request.caller.permissions or len(others) == len(error.errors):
            raise
        raise errors.Conflict(UNUSABLE_COUPON["detail"], [UNUSABLE_COUPON, *others]) from error


def order_limits() -> dict[str, Any]:
    """Return the arguments of `service.place` that the settings determine."""
    limits: dict[str, Any] = current_app.extensions["order_limits"]
    return limits


def configure_order_limits(app: Flask, settings: Settings) -> None:
    ttl = timedelta(seconds=settings.order_ttl)
    app.extensions["order_limits"] = {"ttl": ttl, "max_open_orders": settings.max_open_orders}
