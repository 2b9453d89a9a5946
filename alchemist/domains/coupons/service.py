"""Queries of coupons and redemptions, and the operations that change them.

A redemption and the `remaining_count` of its coupon change in one statement.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Uuid,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.sql.dml import ReturningInsert
from uuid_utils.compat import uuid7

from alchemist import database as db
from alchemist import errors
from alchemist.errors import ErrorDetail

from .models import USABLE_UNTIL, Coupon, Redemption

errors.register_problem_type(
    "coupon-exhausted",
    409,
    "The coupon has no uses left. Cancelling an order returns its use.",
    "All of its 1000 uses are used up.",
)
errors.register_problem_type(
    "coupon-not-valid",
    409,
    "The coupon is not valid yet, or no longer valid. `errors` says from when, or until when.",
    "It was valid until 2026-10-31T22:59:59+00:00.",
)
errors.register_problem_type(
    "coupon-limit-reached",
    409,
    "The caller has used the coupon as often as its limit per user allows. With open access, all "
    "callers count as one user.",
    "The limit is 2 uses per user, and you have used it 2 times.",
)

REJECTION_CODES = ("coupon-exhausted", "coupon-not-valid", "coupon-limit-reached")
# The coupon became valid between the rejected statement and the query for the reasons.
NO_LONGER_INVALID = {"code": "coupon-not-valid", "detail": "It was not valid a moment ago."}

# clock_timestamp(), not now(): now() is the start of the transaction, before the wait for locks.
NOW = func.clock_timestamp()
VERSION_BUMP = {"version": Coupon.version + 1, "updated_at": NOW}
ORDER_ID = bindparam("order_id", type_=Uuid())
IS_REDEEMABLE = and_(
    Coupon.is_left,
    or_(Coupon.valid_from.is_(None), Coupon.valid_from <= NOW),
    or_(Coupon.valid_until.is_(None), Coupon.valid_until > NOW),
)


@db.cached_query
def by_pk(pk: UUID) -> Select[Any]:
    return select(Coupon).where(Coupon.pk == pk)


@db.cached_query
def by_code(code: str) -> Select[Any]:
    return select(Coupon).where(Coupon.code_folded == code)


@db.cached_query
def list_query(
    *, code: str | None = None, reference: str | None = None, active: bool | None = None
) -> Select[Any]:
    query = db.select_where(Coupon, code_folded=code, reference=reference)
    if active is not None:
        query = query.where(_active_condition() if active else ~_active_condition())
    return query


def _active_condition() -> ColumnElement[bool]:
    """Return the condition IS_REDEEMABLE for a SELECT: its stable clock permits an index scan."""
    now = func.statement_timestamp()
    return and_(now < USABLE_UNTIL, or_(Coupon.valid_from.is_(None), Coupon.valid_from <= now))


_release_cte = (
    sqlalchemy.update(Redemption)
    .where(Redemption.pk == bindparam("redemption_id"), Redemption.released_at.is_(None))
    .values(released_at=NOW, version=Redemption.version + 1, updated_at=NOW)
    .returning(Redemption.coupon_id)
    .cte("released")
)
RELEASE_STATEMENT = (
    sqlalchemy.update(Coupon)
    .where(Coupon.pk == _release_cte.c.coupon_id)
    .values(remaining_count=Coupon.remaining_count + 1, **VERSION_BUMP)
    .returning(Coupon.pk)
    .execution_options(synchronize_session=False)
)


def create(*, init_count: int, remaining_count: int | None = None, **values: Any) -> Coupon:
    """Return a new coupon; uses missing from `remaining_count` become its `used_before`."""
    remaining = init_count if remaining_count is None else remaining_count
    counts = {"init_count": init_count, "remaining_count": remaining}
    return Coupon(**counts, used_before=init_count - remaining, **values)


def update_with_remaining_count(coupon: Coupon, changes: Mapping[str, Any]) -> None:
    """Update a locked coupon; a new `init_count` changes `remaining_count` by the difference.

    Raises Conflict if `init_count` is less than the number of uses.
    """
    _check_validity_period(coupon, changes)
    values = dict(changes)
    if "init_count" in values:
        used = coupon.init_count - coupon.remaining_count
        if values["init_count"] < used:
            detail = f"It has been used {used} times."
            raise errors.Conflict.at_location("pointer", "#/init_count", detail)
        values["remaining_count"] = values["init_count"] - used
    db.update(coupon, values)


def _check_validity_period(coupon: Coupon, changes: Mapping[str, Any]) -> None:
    """Raise UnprocessableContent if the coupon would end before it starts.

    The error points to `valid_until`, or to `valid_from` if only that one is sent.
    """
    start = changes.get("valid_from", coupon.valid_from)
    end = changes.get("valid_until", coupon.valid_until)
    if start and end and end <= start:
        name, detail = "valid_until", "Must be later than valid_from."
        if name not in changes:
            name, detail = "valid_from", "Must be earlier than valid_until."
        raise errors.UnprocessableContent.at_location(
            "pointer", f"#/{name}", detail, "out-of-range"
        )


def delete(coupon: Coupon) -> None:
    db.delete(coupon)


@db.cached_query
def redemption_by_pk(pk: UUID, coupon_id: UUID, *, user_id: UUID | None = None) -> Select[Any]:
    query = select(Redemption).where(Redemption.pk == pk, Redemption.coupon_id == coupon_id)
    return query if user_id is None else query.where(Redemption.user_id == user_id)


@db.cached_query
def list_redemptions_query(coupon_id: UUID, *, user_id: UUID | None = None) -> Select[Any]:
    query = select(Redemption).where(Redemption.coupon_id == coupon_id)
    return query if user_id is None else query.where(Redemption.user_id == user_id)


def redeem(coupon: Coupon, user_id: UUID | None, order_id: UUID | None = None) -> Row[tuple[UUID]]:
    """Redeem a locked coupon once; return a row with the `pk` of the redemption.

    Raises Conflict with every reason why the coupon is rejected. It must be locked before, so that
    the statement counts the redemptions that were committed during the wait.
    """
    values = {"coupon_id": coupon.pk, "user_id": user_id, "order_id": order_id}
    statement = _redeem_statement(has_user=user_id is not None)
    redemption = db.session.execute(statement, {"redemption_id": uuid7(), **values}).one_or_none()
    if redemption is None:
        reasons = [*_rejection_reasons(coupon, user_id)] or [NO_LONGER_INVALID]
        raise errors.Conflict("The coupon cannot be redeemed.", reasons)
    db.queue_audit_entry("create", Redemption, redemption.pk, *values)
    db.queue_audit_entry("update", Coupon, coupon.pk, "remaining_count")
    return redemption


def release(redemption_id: UUID) -> None:
    """Release a redemption and return its use to the coupon; do nothing if it is released."""
    coupon_id = db.session.scalar(RELEASE_STATEMENT, {"redemption_id": redemption_id})
    if coupon_id is not None:
        db.queue_audit_entry("update", Redemption, redemption_id, "released_at")
        db.queue_audit_entry("update", Coupon, coupon_id, "remaining_count")


@cache
def _redeem_statement(*, has_user: bool) -> ReturningInsert[tuple[UUID]]:
    """Return the statement that decrements the counter and inserts the redemption.

    It does neither, and returns no row, if the coupon is not redeemable.
    """
    user_id = bindparam("user_id", type_=Uuid())
    use_count = _use_count_select(user_id if has_user else None).scalar_subquery()
    is_below_limit = or_(Coupon.per_user_limit.is_(None), Coupon.per_user_limit > use_count)
    decremented = (
        sqlalchemy.update(Coupon)
        .where(Coupon.pk == bindparam("coupon_id"), IS_REDEEMABLE, is_below_limit)
        .values(remaining_count=Coupon.remaining_count - 1, **VERSION_BUMP)
        .returning(Coupon.pk)
        .cte("decremented")
    )
    row = select(bindparam("redemption_id", type_=Uuid()), decremented.c.pk, user_id, ORDER_ID)
    redemptions = db.table(Redemption)
    columns = ["pk", "coupon_id", "user_id", "order_id"]
    return insert(redemptions).from_select(columns, row).returning(redemptions.c.pk)


def _use_count_select(user_id: ColumnElement[UUID] | None) -> Select[tuple[int]]:
    """Return the number of unreleased redemptions by a user, or if None with open access."""
    return select(func.count()).where(
        Redemption.coupon_id == bindparam("coupon_id"),
        Redemption.user_id == user_id,
        Redemption.released_at.is_(None),
    )


def _rejection_reasons(coupon: Coupon, user_id: UUID | None) -> Iterator[ErrorDetail]:
    user_parameter = bindparam("user_id", type_=Uuid()) if user_id else None
    query = select(NOW, _use_count_select(user_parameter).scalar_subquery())
    parameters = {"coupon_id": coupon.pk, "user_id": user_id}
    now, use_count = db.session.execute(query, parameters).one()
    if coupon.remaining_count == 0:
        detail = f"All of its {coupon.init_count} uses are used up."
        yield {"code": "coupon-exhausted", "detail": detail}
    if coupon.valid_from and now < coupon.valid_from:
        detail = f"It is valid from {coupon.valid_from.astimezone(UTC).isoformat()}."
        yield {"code": "coupon-not-valid", "detail": detail}
    if coupon.valid_until and now >= coupon.valid_until:
        detail = f"It was valid until {coupon.valid_until.astimezone(UTC).isoformat()}."
        yield {"code": "coupon-not-valid", "detail": detail}
    if coupon.per_user_limit is not None and use_count >= coupon.per_user_limit:
        detail = (
            f"The limit is {coupon.per_user_limit} uses per user, "
            f"and you have used it {use_count} times."
        )
        yield {"code": "coupon-limit-reached", "detail": detail}
