"""The ingredient as clients see it."""

from alchemist.api.fields import Pk, Schema, Text, UtcDateTime
from alchemist.api.pagination import ListQuerySchema, Sort

from .models import Ingredient

# Moonstone dust in the example apothecary, which no potion contains: it can be deleted.
EXAMPLE_PK = "0195611f-cab7-7257-82b1-5963602913a4"


class IngredientSchema(Schema):
    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    name = Text(
        required=True,
        min=1,
        max=127,
        example="Mandrake root",
        metadata={"description": "What it says on the jar; others may have the same name."},
    )
    description = Text(
        max=2000,
        allow_none=True,
        example="Dug at dusk, dried for a month, never smelled twice.",
        metadata={"description": "What else there is to know about it."},
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class IngredientListQuery(ListQuerySchema):
    sort = Sort(Ingredient.pk, Ingredient.name, Ingredient.created_at)
    name = Text(max=127, example="Moonstone dust", metadata={"description": "Exactly this name."})
    q = Text(
        max=200,
        min=1,
        example="blue shimmer",
        metadata={"description": "Words in name or description, in any order and case."},
    )
