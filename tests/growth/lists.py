"""Every list with its sorts, and its filters with a value that many rows have and one of few."""

from dataclasses import dataclass

from tests.growth.rows import FREQUENT, RARE, key

HALF, TWENTY = key(1), key(9)
NEVER, LONG_AGO, SOON = "2020-01-01T00:00:00Z", "2026-01-01T00:05:00Z", "2099-01-01T00:00:00Z"
# Of one row each.
REFERENCE = {"reference": ("ref7919",) * 2}
WORDS = {"q": (FREQUENT, RARE)}
# Those of every list: a hundred keys and one, and a time that most rows are changed after.
HUNDRED = ",".join(key(number) for number in range(100, 200))
ROW_FILTERS = {"pk": (HUNDRED, TWENTY), "updated_after": (LONG_AGO, SOON)}


@dataclass(frozen=True)
class List:
    """`filters` have a frequent and a rare value each; `together` are some queries of several."""

    path: str
    table: str
    sorts: tuple[str, ...]
    filters: dict[str, tuple[str, str]]
    together: tuple[str, ...] = ()

    def directed(self) -> list[str]:
        return [f"{sign}{sort}" for sort in self.sorts for sign in ("", "-")]

    def pairs(self) -> list[tuple[str, str]]:
        """Return two queries of each filter: for a frequent value, and for a rare one."""
        return [(f"{name}={many}", f"{name}={few}") for name, (many, few) in self.filters.items()]

    def filtered(self) -> list[str]:
        """Return the query of each value of each filter."""
        return [f"{name}={value}" for name, values in self.filters.items() for value in values]


def _list(
    path: str,
    *sorts: str,
    table: str = "",
    together: tuple[str, ...] = (),
    **filters: tuple[str, str],
) -> List:
    names = ("pk", "created_at", *sorts, "updated_at")
    return List(path, table or path, names, ROW_FILTERS | filters, together)


LISTS = [
    _list("ingredients", "name", name=("salt", "ingredient 7919"), **REFERENCE, **WORDS),
    _list(
        "potions",
        "name",
        name=("tea", "potion 7919"),
        ingredient=(HALF, TWENTY),
        together=(f"ingredient={HALF},{TWENTY}", f"ingredient={TWENTY},{HALF}"),
        brewable_with=(f"{HALF},{TWENTY}", f"{TWENTY},{key(10)}"),
        **REFERENCE,
        **WORDS,
    ),
    _list(
        "users",
        "email",
        email=("user7919@alchemist.example",) * 2,
        role=("merchant", "admin"),
        together=(f"role=admin&q={FREQUENT}",),
        **WORDS,
    ),
    _list(
        "heroes",
        "nickname",
        role=("mage", "tank"),
        user_id=(HALF, TWENTY),
        together=(f"role=tank&user_id={HALF}",),
        **WORDS,
    ),
    _list(
        "stores",
        "name",
        city=("Brassel", "city 7"),
        country=("Belgium", "country 7"),
        currency=("EUR", "ISK"),
        owner_id=(HALF, TWENTY),
        together=("city=Brassel&country=Belgium", "country=Belgium&currency=ISK"),
        **REFERENCE,
        **WORDS,
    ),
    _list(
        "products",
        "name",
        "price",
        store_id=(HALF, TWENTY),
        potion_id=(HALF, TWENTY),
        min_price=("500", "999.9"),
        max_price=("500", "0.1"),
        in_stock=("true", "false"),
        together=(
            f"store_id={HALF}&in_stock=true",
            f"store_id={HALF}&in_stock=false",
            f"store_id={HALF}&q={RARE}",
            "min_price=100&max_price=100.05",
            "min_price=100&max_price=900",
        ),
        **REFERENCE,
        **WORDS,
    ),
    _list("coupons", "code", code=("CODE 7919",) * 2, active=("false", "true"), **REFERENCE),
    _list(f"coupons/{HALF}/redemptions", table="redemptions"),
    List(
        "orders",
        "orders",
        ("pk", "placed_at", "updated_at"),
        ROW_FILTERS
        | {
            "status": ("fulfilled", "paid"),
            "user_id": (HALF, TWENTY),
            "store_id": (HALF, TWENTY),
            "product_id": (HALF, TWENTY),
            "placed_after": (LONG_AGO, SOON),
            "placed_before": (SOON, LONG_AGO),
        },
        (
            f"status=paid&user_id={HALF}",
            "status=placed,paid",
            "status=fulfilled,paid",
            f"status=fulfilled,paid&store_id={TWENTY}",
            f"status=fulfilled&user_id={TWENTY}",
            f"status=placed&product_id={HALF}",
            f"placed_after={LONG_AGO}&placed_before=2026-01-01T00:06:00Z",
        ),
    ),
    List(
        "audit",
        "audit_log",
        ("pk", "created_at"),
        ROW_FILTERS
        | {
            "resource": ("orders", "coupons"),
            "resource_pk": (HALF, TWENTY),
            "user_id": (HALF, TWENTY),
        },
        (f"resource=coupons&user_id={HALF}", f"resource=orders&resource_pk={TWENTY}"),
    ),
]
