"""The document that PostgreSQL makes is the marshmallow dump of the loaded row."""

import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import fields as marshmallow_fields
from sqlalchemy import select, text
from sqlalchemy.orm import selectinload

from alchemist import db, paging, representation
from alchemist.fields import Exact, Instant, Many, Nested, Pk, Schema, Text
from alchemist.ingredients import service as ingredients
from alchemist.ingredients.models import Ingredient
from alchemist.ingredients.schemas import IngredientSchema
from alchemist.potions import service as potions
from alchemist.potions.models import Potion, PotionIngredient
from alchemist.potions.schemas import PotionSchema
from tests.factories import make_ingredient, make_potion

MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
FIRST = {"sort": (paging.Key("pk"),), "limit": 200, "cursor": None, "count": None}


def words(minimum, maximum):
    """Return any text that the contract stores: NFC, trimmed, with neither NUL nor surrogates."""
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    stored = st.text(characters, max_size=maximum).map(
        lambda found: unicodedata.normalize("NFC", found).strip()
    )
    return stored.filter(lambda found: minimum <= len(found) <= maximum)


names, descriptions = words(1, 127), st.none() | words(0, 2000)
instants = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC))
amounts = st.none() | st.decimals(Decimal("0.001"), Decimal("999999999.999"), places=3)
units = st.none() | words(1, 16)
lines = st.lists(st.tuples(names, amounts, units), min_size=1, max_size=12)
anything = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def loaded(entity, *paths):
    """Return all rows in the order of their keys, with what hangs on them."""
    db.session.flush()
    db.session.expunge_all()
    options = [selectinload(path) for path in paths]
    return db.session.scalars(select(entity).options(*options).order_by(entity.pk)).all()


def loaded_potions():
    lines = selectinload(Potion.ingredients).selectinload(PotionIngredient.ingredient)
    db.session.expunge_all()
    return db.session.scalars(select(Potion).options(lines).order_by(Potion.pk)).all()


def item(schema, query):
    return json.loads(db.fetch(representation.item(query.select, schema), query.parameters)[0])


def page(schema, query):
    return json.loads(paging.page(schema, query, "", FIRST).body)


INGREDIENT, POTION = IngredientSchema(), PotionSchema()


@anything
@given(name=names, description=descriptions, created=instants, updated=instants)
def test_an_ingredient_is_its_dump(client, name, description, created, updated):
    made = make_ingredient(
        name=name, description=description, created_at=created, updated_at=updated
    )
    [row] = [found for found in loaded(Ingredient) if found.pk == made.pk]
    assert item(INGREDIENT, ingredients.get(made.pk)) == INGREDIENT.dump(row)


@anything
@given(name=names, description=descriptions, recipe=lines)
def test_a_potion_is_its_dump(client, name, description, recipe):
    made = potions.brew(
        name=name,
        description=description,
        ingredients=[
            {"ingredient_id": make_ingredient(name=part).pk, "amount": amount, "unit": unit}
            for part, amount, unit in recipe
        ],
    )
    [row] = [found for found in loaded_potions() if found.pk == made.pk]
    shown = item(POTION, potions.get(made.pk))
    assert shown == POTION.dump(row)
    assert [line["name"] for line in shown["ingredients"]] == [part for part, _, _ in recipe]


@settings(anything, max_examples=20)
@given(recipes=st.lists(lines, max_size=4))
def test_a_page_is_the_dump_of_its_rows(client, recipes):
    for recipe in recipes:
        make_potion(*[make_ingredient(name=part) for part, _, _ in recipe])
    assert page(POTION, potions.browse()) == POTION.dump(loaded_potions(), many=True)
    everything = loaded(Ingredient)[:200]
    assert page(INGREDIENT, ingredients.browse()) == INGREDIENT.dump(everything, many=True)


def test_a_page_of_nothing_is_an_empty_array(client):
    assert page(POTION, potions.browse()) == []


def test_a_potion_without_lines_shows_an_empty_list(client):
    db.add(Potion(name="Water"))
    assert page(POTION, potions.browse())[0]["ingredients"] == []


def test_lines_keep_their_order_whatever_the_order_of_their_rows(client):
    parts = [make_ingredient(name=name) for name in "abc"]
    potion = make_potion(*parts)
    turned = text("UPDATE potion_ingredients SET position = 10 - position")
    db.session.execute(turned)
    shown = item(POTION, potions.get(potion.pk))
    assert [line["name"] for line in shown["ingredients"]] == ["c", "b", "a"]


@pytest.mark.parametrize("microsecond", [0, 1, 100000, 120000, 999999])
def test_an_instant_has_six_digits_and_the_zone_utc(client, microsecond):
    when = datetime(2026, 11, 20, 7, 15, 0, microsecond, tzinfo=UTC)
    pk = make_ingredient(created_at=when, updated_at=when + timedelta(hours=1)).pk
    db.session.execute(text("SET LOCAL timezone = 'Asia/Kathmandu'"))
    shown = item(INGREDIENT, ingredients.get(pk))
    assert shown["created_at"] == f"2026-11-20T07:15:00.{microsecond:06}+00:00"
    assert MICROSECONDS.fullmatch(shown["updated_at"])


def test_a_long_list_of_lines_is_whole(client):
    potion = make_potion(*[make_ingredient() for _ in range(100)])
    assert len(item(POTION, potions.get(potion.pk))["ingredients"]) == 100


@pytest.mark.parametrize("kind", ["ingredients", "potions"])
def test_every_field_is_there_even_when_it_is_empty(client, kind):
    potion = make_potion(make_ingredient())
    pk = potion.pk if kind == "potions" else db.session.scalars(select(Ingredient.pk)).one()
    schema = POTION if kind == "potions" else INGREDIENT
    shown = client.get(f"/api/v2/{kind}/{pk}").json
    assert list(shown) == list(schema.dump_fields)
    assert shown["description"] is None
    if kind == "potions":
        assert shown["ingredients"][0].keys() == {"pk", "name", "amount", "unit"}


@pytest.mark.parametrize("path", ["/{}", "", "?count=exact", "?sort=-name&limit=1"])
def test_a_read_is_one_statement(client, statements, path):
    pks = [make_potion(make_ingredient(), make_ingredient()).pk for _ in range(3)]
    url = f"/api/v2/potions{path}".format(pks[0])
    with statements() as seen:
        assert client.get(url).status_code == 200
    assert len(seen) == 1


class Shelf(Schema):
    """An ingredient under other names."""

    key = Pk(attribute="pk")
    label = Text(max=127, attribute="name", data_key="shown-as")


class RecipeLine(Schema):
    """A line that shows its ingredient as an object, and one field of it beside."""

    position = marshmallow_fields.Integer()
    amount = Exact(digits=12, places=3, example="1.000")
    ingredient = Nested(Shelf)
    since = Instant(attribute="ingredient.created_at")


class Recipe(Schema):
    """A potion that renames its list."""

    parts = Many(Nested(RecipeLine), attribute="ingredients")
    version = marshmallow_fields.Integer()
    name = Text(max=127)


def test_objects_lists_paths_and_other_names_are_projected_too(client):
    """What the two resources do not need yet, and the next ones will."""
    recipe = Recipe()
    made = make_potion(make_ingredient(name="Salt"), make_ingredient(name="Sage"))
    [row] = loaded_potions()
    shown = item(recipe, potions.get(made.pk))
    assert shown == recipe.dump(row)
    assert [part["ingredient"]["shown-as"] for part in shown["parts"]] == ["Salt", "Sage"]


class Unprojectable(Schema):
    """A relationship shown as if it were a column."""

    ingredients = Text(max=10)


def test_a_field_that_cannot_show_a_relationship_is_told_when_the_statement_is_built(client):
    with pytest.raises(TypeError, match="Text cannot show the relationship"):
        representation.item(potions.get(make_potion().pk).select, Unprojectable())
