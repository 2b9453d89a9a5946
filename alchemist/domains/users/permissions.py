"""All permissions, and the roles that grant them.

`heroes:write` covers the heroes of the caller, `heroes:write:any` those of every user.
"""

from collections.abc import Iterable

from alchemist import errors

CUSTOMER = frozenset(
    {
        "coupons:redeem",
        "heroes:write",
        "me:read",
        "orders:read",
        "orders:write",
        "redemptions:read",
        "tokens:read",
        "tokens:write",
        "users:read",
    }
)
# Rows of a merchant are their stores, the products there, and the orders of those products.
MERCHANT = CUSTOMER | {"orders:fulfil", "products:write", "sales:read", "stores:write"}
ADMIN = MERCHANT | {
    "audit:read",
    "changes:read",
    "coupons:read",
    "coupons:write",
    "heroes:write:any",
    "ingredients:write",
    "orders:fulfil:any",
    "orders:read:any",
    "orders:write:any",
    "potions:write",
    "products:write:any",
    "redemptions:read:any",
    "stores:write:any",
    "tokens:read:any",
    "tokens:write:any",
    "users:read:any",
    "users:write",
}
ROLE_PERMISSIONS = {"customer": CUSTOMER, "merchant": MERCHANT, "admin": ADMIN}
# A token has these only if they are requested by name: with them a leaked token could make others.
ON_REQUEST = frozenset({"tokens:write", "tokens:write:any"})
ALL_PERMISSIONS = sorted(ADMIN)


def check_may_grant(granted: Iterable[str], requested: Iterable[str]) -> None:
    """Raise Forbidden unless all requested permissions are granted to the caller."""
    if missing := sorted(set(requested) - set(granted)):
        raise errors.Forbidden.missing_permission(missing[0])
