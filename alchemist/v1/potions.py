"""The older service of ingredients and potions."""

from typing import Any
from uuid import UUID

from alchemist.api import PUBLIC
from alchemist.api.fields import List, Nested, Pk, Text
from alchemist.database import Query
from alchemist.domains.ingredients import service as ingredients
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.ingredients.schemas import EXAMPLE_PK as INGREDIENT
from alchemist.domains.potions import service as potions
from alchemist.domains.potions.models import Potion
from alchemist.domains.potions.schemas import EXAMPLE_HONEY_PK
from alchemist.domains.potions.schemas import EXAMPLE_PK as POTION

from . import PREFIX
from .blueprint import Blueprint, Resource, Schema

blp = Blueprint(
    "v1-potions", __name__, url_prefix=PREFIX, description="The older service of potions."
)

INGREDIENT_NAME_DESCRIPTION = {"description": "The name of the ingredient."}
POTION_NAME_DESCRIPTION = {"description": "The name of the potion."}
RECIPE_DESCRIPTION = {"description": "The ingredients, in order."}


class IngredientSchema(Schema):
    pk = Pk(dump_only=True, example=INGREDIENT)
    name = Text(
        required=True, min=1, max=127, example="Mandrake root", metadata=INGREDIENT_NAME_DESCRIPTION
    )


class PotionIngredientSchema(Schema):
    pk = Pk(
        attribute="ingredient_id",
        example=EXAMPLE_HONEY_PK,
        metadata={"description": "The key of the ingredient."},
    )
    name = Text(
        max=127,
        attribute="ingredient.name",
        example="Heather honey",
        metadata=INGREDIENT_NAME_DESCRIPTION,
    )


class PotionSchema(Schema):
    pk = Pk(dump_only=True, example=POTION)
    name = Text(
        required=True,
        min=1,
        max=127,
        example="Draught of Quiet Evenings",
        metadata=POTION_NAME_DESCRIPTION,
    )
    ingredients = List(Nested(PotionIngredientSchema), max=100, metadata=RECIPE_DESCRIPTION)


class PotionCreateSchema(Schema):
    name = Text(
        required=True,
        min=1,
        max=127,
        example="Draught of Quiet Evenings",
        metadata=POTION_NAME_DESCRIPTION,
    )
    ingredients = List(
        Pk(references=Ingredient, example=EXAMPLE_HONEY_PK),
        required=True,
        min=1,
        max=100,
        unique_by="pk",
        metadata=RECIPE_DESCRIPTION,
    )


@blp.route("/ingredients")
class V1IngredientList(Resource):
    permissions = {"get": PUBLIC, "post": "ingredients:write"}

    @blp.list(IngredientSchema)
    def get(self) -> Query:
        """List ingredients"""
        return ingredients.list_query()

    @blp.create(IngredientSchema, ingredients.by_pk, body=IngredientSchema)
    def post(self, values: dict[str, Any]) -> Ingredient:
        """Create an ingredient"""
        return ingredients.create(**values)


@blp.route("/ingredients/<uuid_or_hex:pk>")
class V1IngredientItem(Resource):
    permissions = {"get": PUBLIC}

    @blp.retrieve(IngredientSchema)
    def get(self, pk: UUID) -> Query:
        """Get an ingredient"""
        return ingredients.by_pk(pk)


@blp.route("/potions")
class V1PotionList(Resource):
    permissions = {"get": PUBLIC, "post": "potions:write"}

    @blp.list(PotionSchema)
    def get(self) -> Query:
        """List potions"""
        return potions.list_query()

    @blp.create(PotionSchema, potions.by_pk, body=PotionCreateSchema)
    def post(self, values: dict[str, Any]) -> Potion:
        """Brew a potion"""
        lines = [{"ingredient_id": pk} for pk in values["ingredients"]]
        return potions.brew(name=values["name"], ingredients=lines)


@blp.route("/potions/<uuid_or_hex:pk>")
class V1PotionItem(Resource):
    permissions = {"get": PUBLIC}

    @blp.retrieve(PotionSchema)
    def get(self, pk: UUID) -> Query:
        """Get a potion"""
        return potions.by_pk(pk)
