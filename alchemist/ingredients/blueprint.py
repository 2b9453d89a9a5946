"""Ingredients over HTTP."""

from typing import Any

from alchemist.db import Query
from alchemist.idempotency import idempotent
from alchemist.rest import PUBLIC, Blueprint, Resource

from . import service
from .models import Ingredient
from .schemas import IngredientFilters, IngredientSchema

blp = Blueprint(
    "ingredients",
    __name__,
    url_prefix="/api/v2/ingredients",
    description="What potions are made of.",
)


@blp.route("")
class Ingredients(Resource):
    permissions = {"get": PUBLIC, "post": "ingredients:write"}

    @blp.lists(IngredientSchema, IngredientFilters)
    def get(self, filters: dict[str, Any]) -> Query:
        """List ingredients"""
        return service.browse(**filters)

    @idempotent
    @blp.arguments(IngredientSchema)
    @blp.creates(IngredientSchema, service.get)
    def post(self, values: dict[str, Any]) -> Ingredient:
        """Create an ingredient"""
        return service.create(**values)


@blp.route("/<uuid:pk>")
class OneIngredient(Resource):
    permissions = {"get": PUBLIC, "patch": "ingredients:write", "delete": "ingredients:write"}

    @blp.shows(IngredientSchema)
    def get(self, pk: Any) -> Query:
        """Get an ingredient"""
        return service.get(pk)

    @blp.changes(IngredientSchema, service.get)
    def patch(self, ingredient: Ingredient, changes: dict[str, Any]) -> None:
        """Change an ingredient"""
        service.update(ingredient, changes)

    @blp.deletes(IngredientSchema, service.get)
    def delete(self, ingredient: Ingredient) -> None:
        """Delete an ingredient

        One that a potion contains is kept: 409 names the potions.
        """
        service.delete(ingredient)
