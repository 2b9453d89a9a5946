"""Potions over HTTP."""

from typing import Any

from alchemist.db import Query
from alchemist.idempotency import idempotent
from alchemist.rest import PUBLIC, Blueprint, Resource

from . import service
from .models import Potion
from .schemas import PotionFilters, PotionSchema

blp = Blueprint(
    "potions",
    __name__,
    url_prefix="/api/v2/potions",
    description="What is brewed from ingredients.",
)


@blp.route("")
class Potions(Resource):
    permissions = {"get": PUBLIC, "post": "potions:write"}

    @blp.lists(PotionSchema, PotionFilters)
    def get(self, filters: dict[str, Any]) -> Query:
        """List potions"""
        return service.browse(**filters)

    @idempotent
    @blp.arguments(PotionSchema, trusting=True)
    @blp.creates(PotionSchema, service.get)
    def post(self, values: dict[str, Any]) -> Potion:
        """Brew a potion"""
        return service.brew(**values)


@blp.route("/<uuid:pk>")
class OnePotion(Resource):
    permissions = {"get": PUBLIC, "patch": "potions:write", "delete": "potions:write"}

    @blp.shows(PotionSchema)
    def get(self, pk: Any) -> Query:
        """Get a potion"""
        return service.get(pk)

    @blp.changes(PotionSchema, service.get)
    def patch(self, potion: Potion, changes: dict[str, Any]) -> None:
        """Change a potion

        The list of ingredients is replaced as a whole.
        """
        service.update(potion, changes)

    @blp.deletes(PotionSchema, service.get)
    def delete(self, potion: Potion) -> None:
        """Delete a potion"""
        service.delete(potion)
