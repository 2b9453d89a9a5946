"""Ingredients over HTTP."""

from alchemist.api import Blueprint
from alchemist.api.crud import add_crud

from . import service
from .schemas import IngredientListQuery, IngredientSchema

blp = Blueprint(
    "ingredients",
    __name__,
    url_prefix="/api/v2/ingredients",
    description="Ingredients of potions.",
)

add_crud(
    blp,
    IngredientSchema,
    IngredientListQuery,
    service,
    noun="an ingredient",
    write_permission="ingredients:write",
    docstrings={
        "patch": "Change an ingredient",
        "delete": """Delete an ingredient

        An ingredient of a potion cannot be deleted: 409 names the potions.
        """,
    },
)
