"""Rows to test with; a test names only what it is about."""

from itertools import count
from typing import Any

from alchemist import db
from alchemist.ingredients.models import Ingredient
from alchemist.potions import service as potions
from alchemist.potions.models import Potion

_serial = count(1)


def make_ingredient(**values: Any) -> Ingredient:
    return db.add(Ingredient(**{"name": f"Ingredient {next(_serial)}"} | values))


def make_potion(*ingredients: Ingredient, **values: Any) -> Potion:
    """Brew a potion of these ingredients, or of one that it makes up."""
    lines = [{"ingredient_id": part.pk} for part in ingredients or [make_ingredient()]]
    return potions.brew(**{"name": f"Potion {next(_serial)}", "ingredients": lines} | values)
