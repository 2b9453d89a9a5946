"""Rows to test with; a test names only what it is about."""

from decimal import Decimal
from itertools import count
from typing import Any

from alchemist import database as db
from alchemist.domains.coupons import service as coupons
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.heroes.models import Hero
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.orders import service as orders
from alchemist.domains.orders.models import Order
from alchemist.domains.potions import service as potions
from alchemist.domains.potions.models import Potion
from alchemist.domains.products import service as products
from alchemist.domains.products.models import Product
from alchemist.domains.stores.models import Store
from alchemist.domains.users import token_service
from alchemist.domains.users.models import User
from alchemist.domains.users.permissions import ADMIN, ROLE_PERMISSIONS

_serial = count(1)
MODELS = {mapper.local_table.name: mapper.class_ for mapper in db.Base.registry.mappers}


def reload(row: Any) -> Any:
    """Return the row as the database has it now, or None."""
    db.session.rollback()
    return db.session.get(type(row), row.pk, populate_existing=True)


def make_ingredient(**values: Any) -> Ingredient:
    return db.insert(Ingredient(**{"name": f"Ingredient {next(_serial)}"} | values))


def make_potion(*ingredients: Ingredient, **values: Any) -> Potion:
    """Brew a potion of these ingredients, or of one that it makes up."""
    lines = [{"ingredient_id": part.pk} for part in ingredients or [make_ingredient()]]
    named = {"name": f"Potion {next(_serial)}", "ingredients": lines}
    return db.insert(potions.create(**named | values))


def make_user(**values: Any) -> User:
    email = f"user-{next(_serial)}@alchemist.example"
    return db.insert(User(**{"email": email, "full_name": "Somebody"} | values))


def make_hero(**values: Any) -> Hero:
    return db.insert(Hero(**{"nickname": f"Hero {next(_serial)}"} | values))


def make_store(**values: Any) -> Store:
    address = {
        "street": "7 Tallow Lane",
        "zipcode": "1000",
        "city": "Brassel",
        "country": "Belgium",
    }
    named = {"name": f"Store {next(_serial)}", "currency": "EUR"}
    return db.insert(Store(**address | named | values))


def make_product(
    store: Store | None = None, *, price: Decimal | str | int = 10, **values: Any
) -> Product:
    """Offer a product at 10.00, of which there is always more, in a store that it makes up."""
    store_id = (store or make_store()).pk
    named = {"name": f"Product {next(_serial)}", "store_id": store_id}
    return db.insert(products.create(**named | values, price=Decimal(price)))


def make_coupon(**values: Any) -> Coupon:
    return db.insert(
        coupons.create(**{"code": f"Coupon {next(_serial)}", "init_count": 10} | values)
    )


def make_order(*products: Product, user: User | None = None, **values: Any) -> Order:
    """Place an order of one of each of these products, or of one that it makes up."""
    items = [{"product_id": one.pk, "quantity": 1} for one in products or [make_product()]]
    pk = orders.place(user.pk if user else None, **{"items": items} | values).pk
    # Writes the audit entries.
    db.session.commit()
    return db.session.get_one(Order, pk)


def make_token(user: User, **values: Any) -> str:
    """Return the secret of a new token of the user; it permits what the user's role does."""
    named = {"label": "Test", "permissions": sorted(ROLE_PERMISSIONS[user.role or "customer"])}
    secret: str = token_service.issue_token(user, ADMIN, **named | values)[1]
    return secret


def make_row(table: str, **values: Any) -> Any:
    """Make a row of a table by its own function: `make_potion` for potions."""
    name = f"make_{MODELS[table].__name__.lower()}"
    assert name in globals(), f"Write {name}() in tests/factories.py."
    return globals()[name](**values)


def bearer(secret: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"} | headers


def sign_in(user: User, *permissions: str) -> dict[str, str]:
    """Return the headers of a request by the user, narrowed to `permissions` if there are any."""
    return bearer(make_token(user, **{"permissions": list(permissions)} if permissions else {}))
