"""The potion as clients see it."""

from typing import Any, ClassVar

from marshmallow import ValidationError

from alchemist.fields import COMMON, Complaint, Exact, Instant, Many, Nested, Pk, Pks, Schema, Text
from alchemist.ingredients.models import Ingredient
from alchemist.paging import PageArgs, Sort

from .models import Potion


class PotionIngredientSchema(Schema):
    pk = Pk(required=True, to=Ingredient, attribute="ingredient_id")
    name = Text(max=127, attribute="ingredient.name", metadata={"readOnly": True})
    amount = Exact(digits=12, places=3, positive=True, allow_none=True, example="2.500")
    unit = Text(min=1, max=16, allow_none=True, example="g")


class Line(Nested):
    """One ingredient of a potion; where nothing else is to be said, its key alone will do."""

    default_error_messages = COMMON | {
        "type": Complaint("wrong-type", "Neither a UUID nor an object."),
    }
    short_form: ClassVar[dict[str, str]] = {"type": "string", "format": "uuid"}

    def _deserialize(self, value: Any, attr: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, str):
            return {"ingredient_id": Pk().deserialize(value)}
        return super()._deserialize(value, attr, data, *args, **kwargs)


def once(lines: list[dict[str, Any]]) -> None:
    """Refuse an ingredient that stands on an earlier line already."""
    seen = set()
    twice: dict[int, list[str]] = {}
    for index, line in enumerate(lines):
        if line["ingredient_id"] in seen:
            twice[index] = [Complaint("duplicate", "This ingredient is given twice.")]
        seen.add(line["ingredient_id"])
    if twice:
        raise ValidationError(twice)


class PotionSchema(Schema):
    pk = Pk(dump_only=True)
    name = Text(required=True, min=1, max=127, example="Draught of Quiet Evenings")
    description = Text(max=2000, allow_none=True, example="For those who hear the clock.")
    ingredients = Many(Line(PotionIngredientSchema), required=True, min=1, max=100, validate=[once])
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)


class PotionFilters(PageArgs):
    sort = Sort(Potion.pk, Potion.name, Potion.created_at)
    name = Text(max=127, metadata={"description": "Exactly this name."})
    q = Text(max=200, min=1, metadata={"description": "Words in name or description."})
    ingredient = Pks(metadata={"description": "Contains all of these ingredients."})
    brewable_with = Pks(metadata={"description": "Needs no other ingredients than these."})
