"""What can be done with coupons: the counter and the ledger move together, or not at all."""

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

errors.register(
    "coupon-exhausted",
    409,
    "Every use of the coupon is gone. A cancelled order gives its own back.",
    "All of its 1000 uses are gone.",
)
errors.register(
    "coupon-not-valid",
    409,
    "The coupon is not valid yet, or no longer; `errors` say from when, or until when.",
    "It was valid until 2026-10-31T22:59:59+00:00.",
)
errors.register(
    "coupon-limit-reached",
    409,
    "The caller has used the coupon as often as one user may. With open access everybody counts "
    "as one user.",
    "A user may use it 2 times, and you did 2 times.",
)

# For a coupon that became valid while it was asked why it is not.
NO_LONGER_INVALID = {"code": "coupon-not-valid", "detail": "It was not valid a moment ago."}

# The clock and not now(): who waited for the coupon began before what they must see.
NOW = func.clock_timestamp()
VERSION_BUMP = {"version": Coupon.version + 1, "updated_at": NOW}
ORDER_ID = bindparam("order_id", type_=Uuid())
IS_ACTIVE = and_(
    Coupon.is_left,
    or_(Coupon.valid_from.is_(None), Coupon.valid_from <= NOW),
    or_(Coupon.valid_until.is_(None), Coupon.valid_until > NOW),
)


@db.cached_query
def by_pk(pk: UUID) -> Select[Any]:
    return select(Coupon).where(Coupon.pk == pk)


@db.cached_query
def by_code(code: str) -> Select[Any]:
    return select(Coupon).where(func.lower(Coupon.code) == func.lower(code))


@db.cached_query
def list_query(*, code: str | None = None, active: bool | None = None) -> Select[Any]:
    found = select(Coupon)
    if code is not None:
        found = found.where(func.lower(Coupon.code) == func.lower(code))
    if active is not None:
        found = found.where(_is_active() if active else ~_is_active())
    return found


def _is_active() -> ColumnElement[bool]:
    """Return what IS_ACTIVE says, with a clock that stands still, so that an index can be asked."""
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
    .execution_options(synchronize_session=False)
)


def create(*, init_count: int, remaining_count: int | None = None, **values: Any) -> Coupon:
    """Return a new coupon; `remaining_count` says that some of its uses were gone before."""
    remaining = init_count if remaining_count is None else remaining_count
    counts = {"init_count": init_count, "remaining_count": remaining}
    return Coupon(**counts, used_before=init_count - remaining, **values)


def update(coupon: Coupon, changes: Mapping[str, Any]) -> None:
    """Change a coupon that is held; a new `init_count` moves what remains by the difference."""
    _check_validity_period(coupon, changes)
    values = dict(changes)
    if "init_count" in values:
        used = coupon.init_count - coupon.remaining_count
        if values["init_count"] < used:
            detail = f"It was used {used} times already."
            raise errors.Conflict.at_location("pointer", "#/init_count", detail)
        values["remaining_count"] = values["init_count"] - used
    db.update(coupon, values)


def _check_validity_period(coupon: Coupon, changes: Mapping[str, Any]) -> None:
    """Raise Invalid at the half of a window that is sent and does not fit the stored one."""
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
    found = select(Redemption).where(Redemption.pk == pk, Redemption.coupon_id == coupon_id)
    return found if user_id is None else found.where(Redemption.user_id == user_id)


@db.cached_query
def list_redemptions_query(coupon_id: UUID, *, user_id: UUID | None = None) -> Select[Any]:
    found = select(Redemption).where(Redemption.coupon_id == coupon_id)
    return found if user_id is None else found.where(Redemption.user_id == user_id)


def redeem(coupon: Coupon, user_id: UUID | None, order_id: UUID | None = None) -> Row[tuple[UUID]]:
    """Use a coupon once, and return the `pk` of the redemption.

    Raises Conflict with every rule that forbids it. The coupon must be held: whoever waited for it
    must count what others have redeemed meanwhile.
    """
    ledger = {"coupon_id": coupon.pk, "user_id": user_id, "order_id": order_id}
    statement = _redeem_statement(user_id is not None)
    redemption = db.session.execute(statement, {"new": uuid7(), **ledger}).one_or_none()
    if redemption is None:
        entries = [*_rejection_reasons(coupon, user_id)] or [NO_LONGER_INVALID]
        raise errors.Conflict("The coupon cannot be redeemed.", entries)
    db.audit("create", Redemption, redemption.pk, *ledger)
    return redemption


def release(redemption_id: UUID) -> None:
    """Give a use back to its coupon, unless that was done before."""
    db.session.execute(RELEASE_STATEMENT, {"redemption_id": redemption_id})
    db.audit("update", Redemption, redemption_id, "released_at")


@cache
def _redeem_statement(is_known: bool) -> ReturningInsert[tuple[UUID]]:
    """Return the one statement that counts down and writes the ledger, if every rule allows it."""
    user_id = bindparam("user_id", type_=Uuid())
    used = _use_count(user_id if is_known else None).scalar_subquery()
    is_allowed = or_(Coupon.per_user_limit.is_(None), Coupon.per_user_limit > used)
    taken = (
        sqlalchemy.update(Coupon)
        .where(Coupon.pk == bindparam("coupon_id"), IS_ACTIVE, is_allowed)
        .values(remaining_count=Coupon.remaining_count - 1, **VERSION_BUMP)
        .returning(Coupon.pk)
        .cte("taken")
    )
    row = select(bindparam("new", type_=Uuid()), taken.c.pk, user_id, ORDER_ID)
    ledger = db.table(Redemption)
    columns = ["pk", "coupon_id", "user_id", "order_id"]
    return insert(ledger).from_select(columns, row).returning(ledger.c.pk)


def _use_count(user_id: ColumnElement[UUID] | None) -> Select[tuple[int]]:
    """Count the uses by a user, or by all those whom open access does not tell apart."""
    return select(func.count()).where(
        Redemption.coupon_id == bindparam("coupon_id"),
        Redemption.user_id == user_id,
        Redemption.released_at.is_(None),
    )


def _rejection_reasons(coupon: Coupon, user_id: UUID | None) -> Iterator[ErrorDetail]:
    wanted = bindparam("user_id", type_=Uuid()) if user_id else None
    facts = select(NOW.label("now"), _use_count(wanted).scalar_subquery().label("used"))
    values = {"coupon_id": coupon.pk, "user_id": user_id}
    now, used = db.session.execute(facts, values).one()
    if coupon.remaining_count == 0:
        detail = f"All of its {coupon.init_count} uses are gone."
        yield {"code": "coupon-exhausted", "detail": detail}
    if coupon.valid_from and now < coupon.valid_from:
        detail = f"It is valid from {coupon.valid_from.astimezone(UTC).isoformat()} on."
        yield {"code": "coupon-not-valid", "detail": detail}
    if coupon.valid_until and now >= coupon.valid_until:
        detail = f"It was valid until {coupon.valid_until.astimezone(UTC).isoformat()}."
        yield {"code": "coupon-not-valid", "detail": detail}
    if coupon.per_user_limit is not None and used >= coupon.per_user_limit:
        detail = f"A user may use it {coupon.per_user_limit} times, and you did {used} times."
        yield {"code": "coupon-limit-reached", "detail": detail}
