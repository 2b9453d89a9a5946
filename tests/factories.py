"""Rows to test with; a test names only what it is about."""

from itertools import count
from typing import Any

from alchemist import db
from alchemist.heroes.models import Hero
from alchemist.ingredients.models import Ingredient
from alchemist.potions import service as potions
from alchemist.potions.models import Potion
from alchemist.users import service as users
from alchemist.users.models import User
from alchemist.users.permissions import ADMIN

_serial = count(1)


def make_ingredient(**values: Any) -> Ingredient:
    return db.add(Ingredient(**{"name": f"Ingredient {next(_serial)}"} | values))


def make_potion(*ingredients: Ingredient, **values: Any) -> Potion:
    """Brew a potion of these ingredients, or of one that it makes up."""
    lines = [{"ingredient_id": part.pk} for part in ingredients or [make_ingredient()]]
    return potions.brew(**{"name": f"Potion {next(_serial)}", "ingredients": lines} | values)


def make_user(**values: Any) -> User:
    email = f"user-{next(_serial)}@alchemist.example"
    return db.add(User(**{"email": email, "full_name": "Somebody"} | values))


def make_hero(**values: Any) -> Hero:
    return db.add(Hero(**{"nickname": f"Hero {next(_serial)}"} | values))


def make_token(user: User, **values: Any) -> str:
    """Return the secret of a new token of the user; it permits what the user's role does."""
    secret: str = users.issue(user, ADMIN, **{"label": "Test"} | values)[1]
    return secret


def bearer(secret: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"} | headers


def sign_in(user: User, *permissions: str) -> dict[str, str]:
    """Return the headers of a request by the user, narrowed to `permissions` if there are any."""
    return bearer(make_token(user, permissions=list(permissions) or None))
