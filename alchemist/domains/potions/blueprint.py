"""Potions over HTTP."""

from alchemist.api import Blueprint
from alchemist.api.crud import add_crud

from . import service
from .schemas import PotionListQuery, PotionSchema

blp = Blueprint(
    "potions",
    __name__,
    url_prefix="/api/v2/potions",
    description="Potions and their recipes.",
)

add_crud(
    blp,
    PotionSchema,
    PotionListQuery,
    service,
    noun="a potion",
    write_permission="potions:write",
    docstrings={
        "patch": """Update a potion

        A new list of ingredients replaces the whole list.
        """
    },
)
