"""The tables of coupons and of their redemptions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Computed,
    Index,
    String,
    case,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from alchemist.database import (
    Base,
    ExternallyReferenced,
    Versioned,
    check,
    folded,
    not_blank,
    reference_to,
    sort_indexes,
    sortable,
    unique,
)
from alchemist.domains.users.models import User


class Coupon(ExternallyReferenced, Versioned, Base):
    """`init_count` = `used_before` + `remaining_count` + the number of unreleased redemptions.

    `used_before` counts the uses before the coupon was created here. `is_left` is true if the
    coupon has uses left.
    """

    __tablename__ = "coupons"

    code: Mapped[str] = mapped_column(String(64))
    code_folded: Mapped[str] = folded("code")
    code_sort: Mapped[str] = sortable("code")
    init_count: Mapped[int]
    remaining_count: Mapped[int]
    used_before: Mapped[int] = mapped_column(server_default=text("0"))
    percent_off: Mapped[int | None]
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    per_user_limit: Mapped[int | None]
    # Indexed instead of the counter: only the redemption of the last use updates an index.
    is_left: Mapped[bool] = mapped_column(Computed("remaining_count > 0", persisted=True))

    __table_args__ = (
        unique("code_folded", error=("already-exists", "#/code", "Another coupon has this code.")),
        not_blank("code"),
        check(
            "init_count >= 0",
            "init_count",
            error=("out-of-range", "#/init_count", "Must be 0 or more."),
        ),
        check(
            "remaining_count BETWEEN 0 AND init_count",
            "remaining_count",
            error=("out-of-range", "#/remaining_count", "Must be between 0 and the initial count."),
        ),
        check(
            "used_before BETWEEN 0 AND init_count",
            "used_before",
            error=("out-of-range", "#/init_count", "Must not be less than the number of uses."),
        ),
        check(
            "percent_off BETWEEN 0 AND 100",
            "percent_off",
            error=("out-of-range", "#/percent_off", "Must be between 0 and 100."),
        ),
        check(
            "valid_from < valid_until",
            "valid_until",
            error=("out-of-range", "#/valid_until", "Must be later than valid_from."),
        ),
        check(
            "per_user_limit >= 1",
            "per_user_limit",
            error=("out-of-range", "#/per_user_limit", "Must be 1 or more."),
        ),
        *sort_indexes("created_at", "updated_at", "code_sort"),
        Index(None, "valid_from"),
    )


# The time until which the coupon can be redeemed. PostgreSQL collects statistics of an indexed
# expression. From the two columns alone it would not know that half of the coupons have uses left,
# half are not expired, and hardly any is both.
_valid_until_or_infinity = func.coalesce(
    Coupon.__table__.c.valid_until, text("'infinity'::timestamptz")
)
USABLE_UNTIL = func.coalesce(
    case((Coupon.__table__.c.is_left, _valid_until_or_infinity)), text("'-infinity'::timestamptz")
)
Index("coupons_usable_until_idx", USABLE_UNTIL)


class Redemption(Versioned, Base):
    """One use of a coupon; a released redemption does not count as a use.

    An order has a foreign key to its redemption. `order_id` is the reverse reference: it is no
    foreign key, because this package may not import orders.
    """

    __tablename__ = "redemptions"

    coupon_id: Mapped[UUID] = reference_to(Coupon, "#", "Redemption {} has used it.")
    user_id: Mapped[UUID | None] = reference_to(User, "#", "Redemption {} belongs to the user.")
    order_id: Mapped[UUID | None]
    released_at: Mapped[datetime | None]

    coupon: Mapped[Coupon] = relationship(lazy="raise")

    __table_args__ = (
        unique("order_id", error=("conflict", "#", "The order has already redeemed a coupon.")),
        *sort_indexes("coupon_id", "user_id"),
        Index(None, "coupon_id", "created_at", "pk"),
        Index(None, "coupon_id", "updated_at", "pk"),
        Index(
            "redemptions_live_idx",
            "coupon_id",
            "user_id",
            postgresql_where=text("released_at IS NULL"),
        ),
    )
