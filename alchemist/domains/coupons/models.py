"""The coupon with its counter, and the ledger of its redemptions, as they are stored."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    case,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from alchemist.database import Base, Versioned, constraint_error, not_blank
from alchemist.domains.users.models import User


class Coupon(Versioned, Base):
    """`init_count` = `used_before` + `remaining_count` + the redemptions that are not released.

    `used_before` are the uses that were gone when the coupon was recorded here.
    """

    __tablename__ = "coupons"

    code: Mapped[str] = mapped_column(String(64))
    init_count: Mapped[int]
    remaining_count: Mapped[int]
    used_before: Mapped[int] = mapped_column(server_default=text("0"))
    percent_off: Mapped[int | None]
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    per_user_limit: Mapped[int | None]
    # Stored and indexed in place of the counter: a redemption that is not the last writes no index.
    is_left: Mapped[bool] = mapped_column(Computed("remaining_count > 0", persisted=True))

    __table_args__ = (
        not_blank("code"),
        CheckConstraint(
            "init_count >= 0",
            "init_count",
            info=constraint_error("out-of-range", "#/init_count", "Must be 0 or more."),
        ),
        CheckConstraint(
            "remaining_count BETWEEN 0 AND init_count",
            "remaining_count",
            info=constraint_error(
                "out-of-range", "#/remaining_count", "Must be between 0 and the initial count."
            ),
        ),
        CheckConstraint(
            "used_before BETWEEN 0 AND init_count",
            "used_before",
            info=constraint_error(
                "out-of-range", "#/init_count", "Must not be less than what was used."
            ),
        ),
        CheckConstraint(
            "percent_off BETWEEN 0 AND 100",
            "percent_off",
            info=constraint_error("out-of-range", "#/percent_off", "Must be between 0 and 100."),
        ),
        CheckConstraint(
            "valid_from < valid_until",
            "valid_until",
            info=constraint_error(
                "out-of-range", "#/valid_until", "Must be later than valid_from."
            ),
        ),
        CheckConstraint(
            "per_user_limit >= 1",
            "per_user_limit",
            info=constraint_error("out-of-range", "#/per_user_limit", "Must be 1 or more."),
        ),
        Index(None, "created_at", "pk"),
        Index(None, "code", "pk"),
        Index(None, "valid_from"),
    )


# Until when it can be used. PostgreSQL counts the values of this as those of a column: of the two
# that it is made of, it would not know that half of all coupons have uses left, half have not
# ended, and hardly any is both.
_valid_until_or_infinity = func.coalesce(
    Coupon.__table__.c.valid_until, text("'infinity'::timestamptz")
)
USABLE_UNTIL = func.coalesce(
    case((Coupon.__table__.c.is_left, _valid_until_or_infinity)), text("'-infinity'::timestamptz")
)
Index("coupons_usable_until_idx", USABLE_UNTIL)

# Codes keep their case and are compared without it.
Index(
    "coupons_code_key",
    func.lower(Coupon.__table__.c.code),
    unique=True,
    info=constraint_error("already-exists", "#/code", "The code is taken."),
)


class Redemption(Versioned, Base):
    """One use of a coupon; what is released counts no longer, and stays on record.

    An order refers to its redemption with a foreign key; `order_id` says the same from this side,
    where orders are not known.
    """

    __tablename__ = "redemptions"

    coupon_id: Mapped[UUID] = mapped_column(
        ForeignKey(
            Coupon.pk,
            info=constraint_error(
                "unknown-reference",
                "#",
                "The coupon does not exist.",
                referenced_detail="Redemption {} is of it.",
            ),
        )
    )
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(
            User.pk,
            info=constraint_error(
                "unknown-reference",
                "#",
                "The user does not exist.",
                referenced_detail="Redemption {} is theirs.",
            ),
        )
    )
    order_id: Mapped[UUID | None]
    released_at: Mapped[datetime | None]

    coupon: Mapped[Coupon] = relationship(lazy="raise")

    __table_args__ = (
        UniqueConstraint(
            "order_id",
            info=constraint_error("conflict", "#", "The order has redeemed a coupon already."),
        ),
        Index(None, "coupon_id", "pk"),
        Index(None, "coupon_id", "created_at", "pk"),
        Index(None, "user_id", "pk"),
        Index(
            "redemptions_live_idx",
            "coupon_id",
            "user_id",
            postgresql_where=text("released_at IS NULL"),
        ),
    )
