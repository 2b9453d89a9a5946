"""The permissions that there are, and the roles that give them.

`…:any` lifts what the permission before it is bound to: the caller's own rows.
"""

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
# Of merchants the own rows are stores, what is sold there, and the orders of it.
MERCHANT = CUSTOMER | {"orders:fulfil", "products:write", "sales:read", "stores:write"}
ADMIN = MERCHANT | {
    "audit:read",
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
ALL_PERMISSIONS = sorted(ADMIN)
