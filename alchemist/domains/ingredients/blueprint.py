"""Ingredients over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.api import PUBLIC, Blueprint, Resource
from alchemist.api.batch_resource import add_batch
from alchemist.api.idempotency import idempotent
from alchemist.database import Query

from . import service
from .models import Ingredient
from .schemas import IngredientListQuery, IngredientSchema

blp = Blueprint(
    "ingredients",
    __name__,
    url_prefix="/api/v2/ingredients",
    description="Ingredients of potions.",
)


@blp.route("")
class IngredientList(Resource):
    permissions = {"get": PUBLIC, "post": "ingredients:write"}

    @blp.list(IngredientSchema, IngredientListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List ingredients"""
        return service.list_query(**filters)

    @idempotent
    @blp.create(IngredientSchema, service.by_pk, body=IngredientSchema, problems=["already-exists"])
    def post(self, values: dict[str, Any]) -> Ingredient:
        """Create an ingredient"""
        return service.create(**values)


@blp.route("/<uuid:pk>")
class IngredientItem(Resource):
    permissions = {"get": PUBLIC, "patch": "ingredients:write", "delete": "ingredients:write"}

    @blp.retrieve(IngredientSchema)
    def get(self, pk: UUID) -> Query:
        """Get an ingredient"""
        return service.by_pk(pk)

    @blp.update(IngredientSchema, service.by_pk, problems=["already-exists"])
    def patch(self, ingredient: Ingredient, changes: dict[str, Any]) -> None:
        """Change an ingredient"""
        service.update(ingredient, changes)

    @blp.destroy(IngredientSchema, service.by_pk, problems=["in-use"])
    def delete(self, ingredient: Ingredient) -> None:
        """Delete an ingredient

        An ingredient of a potion cannot be deleted: 409 names the potions.
        """
        service.delete(ingredient)


add_batch(blp, "/batch", IngredientList, IngredientItem)
