"""Schemas of potions: the body, the representation, and the list query."""

from typing import Any, ClassVar

from alchemist.api.fields import (
    DEFAULT_MESSAGES,
    CodedMessage,
    DecimalString,
    ExternalReference,
    List,
    Nested,
    Pk,
    Schema,
    Text,
    UtcDateTime,
    UuidList,
)
from alchemist.api.pagination import ListQuerySchema, ReferenceFilter, SearchText, Sort
from alchemist.domains.ingredients.models import Ingredient

from .models import Potion

# Rows of the sample data: Beekeeper's Apology and its ingredients, blue clay and honey.
EXAMPLE_PK = "01962eea-ff31-7cc6-a103-65e42798b07b"
EXAMPLE_CLAY_PK, EXAMPLE_HONEY_PK = (
    "01956174-662c-7547-bbd0-a1d1d0e3bf3c",
    "019560ba-5065-78d3-b48d-5e96430b30c3",
)
EXAMPLE_REFERENCE = "REC-0022"
REFERENCE_EXAMPLES = (None, "REC-0131", "REC-0132", "REC-0133")


INGREDIENT_PK = Pk()


class PotionIngredientSchema(Schema):
    pk = Pk(
        required=True,
        references=Ingredient,
        attribute="ingredient_id",
        example=EXAMPLE_HONEY_PK,
        description="The primary key of the ingredient.",
    )
    name = Text(
        max=127,
        attribute="ingredient.name",
        example="Heather honey",
        read_only=True,
        description="The name of the ingredient.",
    )
    amount = DecimalString(
        precision=12,
        scale=3,
        positive=True,
        allow_none=True,
        example="1.500",
        description="The amount, with up to 9 digits and 3 decimals.",
    )
    unit = Text(
        min=1, max=16, allow_none=True, example="spoonful", description="The unit of the amount."
    )


class PotionIngredientField(Nested):
    """An ingredient of a potion: an object, or as a shorthand only its primary key."""

    default_error_messages = DEFAULT_MESSAGES | {
        "type": CodedMessage("wrong-type", "Neither a UUID nor an object."),
    }
    shorthand_schema: ClassVar[dict[str, Any]] = {
        "type": "string",
        "format": "uuid",
        "description": "The primary key of the ingredient.",
        "examples": [EXAMPLE_CLAY_PK],
    }

    def deserialize(self, value: Any, attr: Any = None, data: Any = None, **kwargs: Any) -> Any:
        if isinstance(value, str):
            return {"ingredient_id": INGREDIENT_PK.deserialize(value)}
        return super().deserialize(value, attr, data, **kwargs)


class PotionSchema(Schema):
    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    name = Text(
        required=True,
        min=1,
        max=127,
        example="Draught of Quiet Evenings",
        description="The name of the potion. It need not be unique.",
    )
    description = Text(
        max=2000,
        allow_none=True,
        example="For those who hear the clock.",
        description="A description of the potion.",
    )
    ingredients = List(
        PotionIngredientField(PotionIngredientSchema),
        required=True,
        min=1,
        max=100,
        unique_by="pk",
        description="The ingredients in the order of the recipe, each one once.",
    )
    reference = ExternalReference(examples=REFERENCE_EXAMPLES)
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class PotionListQuery(ListQuerySchema):
    sort = Sort(Potion.pk, Potion.name, Potion.created_at, Potion.updated_at)
    name = Text(
        max=127, example="Beekeeper's Apology", description="Potions with exactly this name."
    )
    reference = ReferenceFilter(example=EXAMPLE_REFERENCE)
    q = SearchText("Potions with all these words in name or description.", example="hive gesture")
    ingredient = UuidList(
        description="Potions that contain all of these ingredients.",
        example=[EXAMPLE_CLAY_PK, EXAMPLE_HONEY_PK],
    )
    brewable_with = UuidList(
        description="Potions that contain no other ingredients than these.",
        example=[EXAMPLE_CLAY_PK, EXAMPLE_HONEY_PK],
    )
