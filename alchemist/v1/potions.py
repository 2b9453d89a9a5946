"""Ingredients and potions of v1."""

from typing import Any
from uuid import UUID

from alchemist.api import PUBLIC
from alchemist.api.fields import List, Nested, Text
from alchemist.database import Query
from alchemist.domains.ingredients import service as ingredients
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.ingredients.schemas import EXAMPLE_PK as INGREDIENT
from alchemist.domains.potions import service as potions
from alchemist.domains.potions.models import Potion
from alchemist.domains.potions.schemas import EXAMPLE_HONEY_PK
from alchemist.domains.potions.schemas import EXAMPLE_PK as POTION

from . import PREFIX
from .blueprint import Blueprint, Resource
from .fields import MAX_ITEMS, UuidOrHex
from .schema import Schema

blp = Blueprint("v1-potions", __name__, url_prefix=PREFIX, description="Ingredients and potions.")
# The 26,000 that a body of 1 MiB has room for would take more than a second.
MAX_INGREDIENTS = 1_000


# Names of ingredients and potions are strict: their v1 service did not accept numbers either.
def ingredient_name_field(example: str, **kwargs: Any) -> Text:
    metadata = {"description": "The name of the ingredient."}
    return Text(max=127, example=example, metadata=metadata, **kwargs)


def potion_name_field(**kwargs: Any) -> Text:
    metadata = {"description": "The name of the potion."}
    return Text(max=127, example="Draught of Quiet Evenings", metadata=metadata, **kwargs)


class IngredientSchema(Schema):
    pk = UuidOrHex(dump_only=True, example=INGREDIENT)
    name = ingredient_name_field("Mandrake root", required=True, min=1)


class PotionIngredientSchema(Schema):
    pk = UuidOrHex(
        attribute="ingredient_id",
        example=EXAMPLE_HONEY_PK,
        description="The primary key of the ingredient.",
    )
    name = ingredient_name_field("Heather honey", attribute="ingredient.name")


class PotionSchema(Schema):
    pk = UuidOrHex(dump_only=True, example=POTION)
    name = potion_name_field()
    ingredients = List(
        Nested(PotionIngredientSchema), max=MAX_ITEMS, description="The ingredients, in order."
    )


class PotionCreateSchema(Schema):
    name = potion_name_field(required=True, min=1)
    ingredients = List(
        UuidOrHex(references=Ingredient, example=EXAMPLE_HONEY_PK),
        required=True,
        min=1,
        max=MAX_INGREDIENTS,
        unique_by="pk",
        description="The primary keys of the ingredients, in order.",
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
        return potions.create(name=values["name"], ingredients=lines)


@blp.route("/potions/<uuid_or_hex:pk>")
class V1PotionItem(Resource):
    permissions = {"get": PUBLIC}

    @blp.retrieve(PotionSchema)
    def get(self, pk: UUID) -> Query:
        """Get a potion"""
        return potions.by_pk(pk)
