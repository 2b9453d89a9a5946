"""The permissions that there are, and the roles that give them.

`…:any` lifts what the permission before it is bound to: the caller's own rows.
"""

CUSTOMER = frozenset({"me:read", "tokens:read", "tokens:write", "heroes:write", "users:read"})
MERCHANT = CUSTOMER
ADMIN = MERCHANT | {
    "audit:read",
    "heroes:write:any",
    "ingredients:write",
    "potions:write",
    "tokens:read:any",
    "tokens:write:any",
    "users:read:any",
    "users:write",
}
OF_ROLE = {"customer": CUSTOMER, "merchant": MERCHANT, "admin": ADMIN}
EVERY = sorted(ADMIN)
