"""The ingredient as clients see it."""

from alchemist.fields import Instant, Pk, Schema, Text
from alchemist.paging import PageArgs, Sort

from .models import Ingredient


class IngredientSchema(Schema):
    pk = Pk(dump_only=True)
    name = Text(required=True, min=1, max=127, example="Mandrake root")
    description = Text(
        max=2000,
        allow_none=True,
        example="Dug at dusk, dried for a month, never smelled twice.",
    )
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)


class IngredientFilters(PageArgs):
    sort = Sort(Ingredient.pk, Ingredient.name, Ingredient.created_at)
    name = Text(max=127, metadata={"description": "Exactly this name."})
    q = Text(max=200, min=1, metadata={"description": "Words in name or description."})
