"""Schemas of ingredients: the representation and the list query."""

from alchemist.api.fields import ExternalReference, Pk, Schema, Text, UtcDateTime
from alchemist.api.pagination import ListQuerySchema, ReferenceFilter, SearchText, Sort

from .models import Ingredient

# A row of the sample data: moonstone dust. No potion contains it, so it can be deleted.
EXAMPLE_PK = "0195611f-cab7-7257-82b1-5963602913a4"
EXAMPLE_REFERENCE = "HERB-0062"
REFERENCE_EXAMPLES = (None, "HERB-0117", "HERB-0118", "HERB-0119")


class IngredientSchema(Schema):
    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    name = Text(
        required=True,
        min=1,
        max=127,
        example="Mandrake root",
        description="The name. Several ingredients may have the same one.",
    )
    description = Text(
        max=2000,
        allow_none=True,
        example="Dug at dusk, dried for a month, never smelled twice.",
        description="Anything else about the ingredient.",
    )
    reference = ExternalReference(examples=REFERENCE_EXAMPLES)
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class IngredientListQuery(ListQuerySchema):
    sort = Sort(Ingredient.pk, Ingredient.name, Ingredient.created_at, Ingredient.updated_at)
    name = Text(
        max=127, example="Moonstone dust", description="Ingredients with exactly this name."
    )
    reference = ReferenceFilter(example=EXAMPLE_REFERENCE)
    q = SearchText(
        "Ingredients with all these words in name or description.", example="blue shimmer"
    )
