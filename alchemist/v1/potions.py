"""The older service of ingredients and potions."""

from typing import Any
from uuid import UUID

from alchemist.db import Query
from alchemist.fields import Many, Nested, Pk, Text
from alchemist.ingredients import service as ingredients
from alchemist.ingredients.models import Ingredient
from alchemist.ingredients.schemas import EXAMPLE as INGREDIENT
from alchemist.potions import service as potions
from alchemist.potions.models import Potion
from alchemist.potions.schemas import EXAMPLE as POTION
from alchemist.potions.schemas import HONEY
from alchemist.rest import PUBLIC

from . import PREFIX
from .contract import Blueprint, Resource, Schema

blp = Blueprint(
    "v1-potions", __name__, url_prefix=PREFIX, description="The older service of potions."
)

INGREDIENT_NAME = {"description": "The name of the ingredient."}
POTION_NAME = {"description": "The name of the potion."}
RECIPE = {"description": "The ingredients, in order."}


class IngredientSchema(Schema):
    pk = Pk(dump_only=True, example=INGREDIENT)
    name = Text(required=True, min=1, max=127, example="Mandrake root", metadata=INGREDIENT_NAME)


class PotionIngredientSchema(Schema):
    pk = Pk(
        attribute="ingredient_id",
        example=HONEY,
        metadata={"description": "The key of the ingredient."},
    )
    name = Text(
        max=127, attribute="ingredient.name", example="Heather honey", metadata=INGREDIENT_NAME
    )


class PotionSchema(Schema):
    pk = Pk(dump_only=True, example=POTION)
    name = Text(
        required=True, min=1, max=127, example="Draught of Quiet Evenings", metadata=POTION_NAME
    )
    ingredients = Many(Nested(PotionIngredientSchema), max=100, metadata=RECIPE)


class Line(Pk):
    """A line of a recipe, of which this service knows the ingredient only."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return {"ingredient_id": super()._deserialize(value, attr, data, **kwargs)}


class RecipeSchema(Schema):
    name = Text(
        required=True, min=1, max=127, example="Draught of Quiet Evenings", metadata=POTION_NAME
    )
    ingredients = Many(
        Line(to=Ingredient, example=HONEY),
        required=True,
        min=1,
        max=100,
        unique="pk",
        metadata=RECIPE,
    )


@blp.route("/ingredients")
class OldIngredients(Resource):
    permissions = {"get": PUBLIC, "post": "ingredients:write"}

    @blp.all_of(IngredientSchema)
    def get(self) -> Query:
        """List ingredients"""
        return ingredients.browse()

    @blp.arguments(IngredientSchema)
    @blp.makes(IngredientSchema, ingredients.get)
    def post(self, values: dict[str, Any]) -> Ingredient:
        """Create an ingredient"""
        return ingredients.create(**values)


@blp.route("/ingredients/<uuid:pk>")
class OldIngredient(Resource):
    permissions = {"get": PUBLIC}

    @blp.one_of(IngredientSchema)
    def get(self, pk: UUID) -> Query:
        """Get an ingredient"""
        return ingredients.get(pk)


@blp.route("/potions")
class OldPotions(Resource):
    permissions = {"get": PUBLIC, "post": "potions:write"}

    @blp.all_of(PotionSchema)
    def get(self) -> Query:
        """List potions"""
        return potions.browse()

    @blp.arguments(RecipeSchema, trusting=True)
    @blp.makes(PotionSchema, potions.get)
    def post(self, values: dict[str, Any]) -> Potion:
        """Brew a potion"""
        return potions.brew(**values)


@blp.route("/potions/<uuid:pk>")
class OldPotion(Resource):
    permissions = {"get": PUBLIC}

    @blp.one_of(PotionSchema)
    def get(self, pk: UUID) -> Query:
        """Get a potion"""
        return potions.get(pk)
