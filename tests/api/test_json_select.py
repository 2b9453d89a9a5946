"""The document that PostgreSQL makes is the marshmallow dump of the loaded row."""

import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from marshmallow import fields as marshmallow_fields
from sqlalchemy import select, text
from sqlalchemy.orm import joinedload, selectinload

from alchemist import database as db
from alchemist.api import json_select, pagination
from alchemist.api.fields import DecimalString, List, Nested, Pk, Schema, Text, UtcDateTime
from alchemist.domains.coupons import service as coupons
from alchemist.domains.coupons.models import Coupon, Redemption
from alchemist.domains.coupons.schemas import CouponSchema, RedemptionSchema
from alchemist.domains.ingredients import service as ingredients
from alchemist.domains.ingredients.models import Ingredient
from alchemist.domains.ingredients.schemas import IngredientSchema
from alchemist.domains.orders import queries as order_queries
from alchemist.domains.orders import service as orders
from alchemist.domains.orders.models import Order, OrderItem
from alchemist.domains.orders.schemas import OrderSchema
from alchemist.domains.orders.viewer import UNRESTRICTED
from alchemist.domains.potions import service as potions
from alchemist.domains.potions.models import Potion, PotionIngredient
from alchemist.domains.potions.schemas import PotionSchema
from alchemist.domains.products import service as products
from alchemist.domains.products.models import Product
from alchemist.domains.products.schemas import ProductSchema
from alchemist.domains.stores import service as stores
from alchemist.domains.stores.currencies import CURRENCIES, DECIMALS
from alchemist.domains.stores.models import Store
from alchemist.domains.stores.schemas import StoreSchema
from tests.factories import (
    make_coupon,
    make_hero,
    make_ingredient,
    make_order,
    make_potion,
    make_product,
    make_store,
    make_user,
)
from tests.properties import given, settings, st
from tests.resources import FACTORIES, LISTS

MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
FIRST = {"sort": (pagination.SortKey("pk"),), "limit": 200, "cursor": None, "count": None}


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
anything = settings(max_examples=60)


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
    return json.loads(
        db.fetch_one(json_select.select_json(query.select, schema), query.parameters)[0]
    )


def page(schema, query):
    return json.loads(pagination.paginate(schema, query, "", FIRST).body)


INGREDIENT, POTION = IngredientSchema(), PotionSchema()


@anything
@given(name=names, description=descriptions, created=instants, updated=instants)
def test_an_ingredient_is_its_dump(client, name, description, created, updated):
    made = make_ingredient(
        name=name, description=description, created_at=created, updated_at=updated
    )
    [row] = [found for found in loaded(Ingredient) if found.pk == made.pk]
    assert item(INGREDIENT, ingredients.by_pk(made.pk)) == INGREDIENT.dump(row)


@anything
@given(name=names, description=descriptions, recipe=lines)
def test_a_potion_is_its_dump(client, name, description, recipe):
    made = db.insert(
        potions.create(
            name=name,
            description=description,
            ingredients=[
                {"ingredient_id": make_ingredient(name=part).pk, "amount": amount, "unit": unit}
                for part, amount, unit in recipe
            ],
        )
    )
    [row] = [found for found in loaded_potions() if found.pk == made.pk]
    shown = item(POTION, potions.by_pk(made.pk))
    assert shown == POTION.dump(row)
    assert [line["name"] for line in shown["ingredients"]] == [part for part, _, _ in recipe]


@settings(anything, max_examples=20)
@given(recipes=st.lists(lines, max_size=4))
def test_a_page_is_the_dump_of_its_rows(client, recipes):
    for recipe in recipes:
        make_potion(*[make_ingredient(name=part) for part, _, _ in recipe])
    assert page(POTION, potions.list_query()) == POTION.dump(loaded_potions(), many=True)
    everything = loaded(Ingredient)[:200]
    assert page(INGREDIENT, ingredients.list_query()) == INGREDIENT.dump(everything, many=True)


# The market

STORE, PRODUCT, ORDER = StoreSchema(), ProductSchema(), OrderSchema()
COUPON, REDEMPTION = CouponSchema(), RedemptionSchema()
some = settings(anything, max_examples=25)


def amounts_of(currency, maximum=10**12):
    """Return any amount of less than `maximum` minor units."""
    decimals = DECIMALS[currency]
    return st.integers(0, maximum - 1).map(lambda units: Decimal(units).scaleb(-decimals))


prices = st.sampled_from(CURRENCIES).flatmap(
    lambda code: st.tuples(st.just(code), amounts_of(code))
)
counts = st.integers(0, 1_000_000_000)
codes = st.uuids().map(lambda pk: pk.hex) | words(1, 64)


def only(entity, pk, *options):
    """Return one row as it is stored, with what hangs on it."""
    db.session.flush()
    db.session.expunge_all()
    found = select(entity).where(entity.pk == pk).options(*options)
    return db.session.scalars(found).one()


@some
@given(
    texts=st.fixed_dictionaries(
        dict.fromkeys(("name", "street", "zipcode", "city", "country"), words(1, 255))
    ),
    phone=st.none() | words(0, 64),
    domain=st.none() | st.just("https://ladle.example"),
    is_owned=st.booleans(),
    created=instants,
)
def test_a_store_is_its_dump(client, texts, phone, domain, is_owned, created):
    owner_id = make_user().pk if is_owned else None
    more = {"phone": phone, "domain": domain, "owner_id": owner_id, "created_at": created}
    pk = make_store(**texts, **more).pk
    assert item(STORE, stores.by_pk(pk)) == STORE.dump(only(Store, pk))


@some
@given(
    name=words(1, 255),
    sold_at=words(1, 255),
    description=descriptions,
    priced=prices,
    stock=st.none() | counts,
    is_potion=st.booleans(),
)
def test_a_product_is_its_dump(client, name, sold_at, description, priced, stock, is_potion):
    currency, price = priced
    made = make_product(
        make_store(name=sold_at, currency=currency),
        name=name,
        description=description,
        price=price,
        stock=stock,
        potion_id=make_potion().pk if is_potion else None,
    )
    shown = item(PRODUCT, products.by_pk(made.pk))
    assert shown == PRODUCT.dump(only(Product, made.pk, joinedload(Product.store)))
    assert (shown["store"]["name"], shown["currency"]) == (sold_at, currency)


@some
@given(
    code=codes,
    init_count=counts,
    percent_off=st.none() | st.integers(0, 100),
    valid_from=st.none() | st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    valid_until=st.none() | instants.filter(lambda when: when.year > 2026),
    per_user_limit=st.none() | st.integers(1, 9),
)
def test_a_coupon_is_its_dump(client, code, **values):
    with db.rolled_back():
        pk = make_coupon(code=code, **values).pk
        assert item(COUPON, coupons.by_pk(pk)) == COUPON.dump(only(Coupon, pk))


@some
@given(uses=st.lists(st.booleans(), min_size=1, max_size=3), is_known=st.booleans())
def test_a_redemption_is_its_dump(client, uses, is_known):
    coupon = make_coupon()
    for is_released in uses:
        made = coupons.redeem(coupon, make_user().pk if is_known else None)
        if is_released:
            coupons.release(made.pk)
    row = only(Redemption, made.pk, joinedload(Redemption.coupon))
    shown = item(REDEMPTION, coupons.redemption_by_pk(made.pk, coupon.pk))
    assert shown == REDEMPTION.dump(row)
    assert shown["remaining_count"] == 10 - uses.count(False)


ORDERED = selectinload(Order.items).joinedload(OrderItem.product)


@some
@given(
    wanted=st.lists(
        st.tuples(
            words(1, 255),
            st.integers(1, 9),
            st.sampled_from(["EUR", "JPY", "BHD"]).flatmap(
                lambda code: st.tuples(st.just(code), amounts_of(code, 10**8))
            ),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda line: line[0],
    ),
    percent_off=st.none() | st.integers(0, 100),
    move=st.sampled_from([None, orders.pay, orders.cancel]),
)
def test_an_order_is_its_dump(client, wanted, percent_off, move):
    made = [
        (make_product(make_store(currency=currency), name=name, price=price), quantity)
        for name, quantity, (currency, price) in wanted
    ]
    coupon = None if percent_off is None else make_coupon(percent_off=percent_off)
    items = [{"product_id": one.pk, "quantity": quantity} for one, quantity in made]
    order = make_order(items=items, coupon_code=coupon and coupon.code)
    if move:
        move(order)
    shown = item(ORDER, order_queries.by_pk(order.pk).with_parameters(UNRESTRICTED))
    assert shown == ORDER.dump(only(Order, order.pk, ORDERED))
    assert [line["name"] for line in shown["items"]] == [name for name, *_ in wanted]
    assert shown["coupon_code"] == (coupon and coupon.code)


def test_pages_of_the_market_are_the_dumps_of_their_rows(client):
    made = [make_product(stock=3, potion_id=make_potion().pk), make_product()]
    coupon = make_coupon(percent_off=15)
    make_order(*made, coupon_code=coupon.code, user=make_user())
    make_order(made[0], hero_id=make_hero().pk)
    assert page(STORE, stores.list_query()) == STORE.dump(loaded(Store), many=True)
    found = loaded(Product, Product.store)
    assert page(PRODUCT, products.list_query()) == PRODUCT.dump(found, many=True)
    assert page(COUPON, coupons.list_query()) == COUPON.dump(loaded(Coupon), many=True)
    found = loaded(Redemption, Redemption.coupon)
    shown = page(REDEMPTION, coupons.list_redemptions_query(coupon.pk))
    assert shown == REDEMPTION.dump(found, many=True)
    db.session.expunge_all()
    found = db.session.scalars(select(Order).options(ORDERED).order_by(Order.pk)).all()
    shown = page(ORDER, order_queries.list_query().with_parameters(UNRESTRICTED))
    assert shown == ORDER.dump(found, many=True)
    assert [len(order.items) for order in found] == [2, 1]


MAKERS = {name: (make, LISTS[name].schema) for name, make in FACTORIES.items()}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_field_of_a_resource_is_there_even_when_it_is_empty(client, kind):
    make, schema = MAKERS[kind]
    shown = client.get(f"/api/v2/{kind}/{make().pk}").json
    assert list(shown) == list(schema.dump_fields)
    assert None in shown.values()


@pytest.mark.parametrize("path", ["/{}", "", "?count=exact", "?sort=-created_at&limit=1"])
@pytest.mark.parametrize("kind", MAKERS)
def test_a_read_of_a_resource_is_one_statement(client, statements, kind, path):
    pks = [MAKERS[kind][0]().pk for _ in range(3)]
    path = path.replace("created_at", "placed_at") if kind == "orders" else path
    with statements() as seen:
        assert client.get(f"/api/v2/{kind}{path}".format(pks[0])).status_code == 200
    assert len(seen) == 1


def test_a_page_of_nothing_is_an_empty_array(client):
    assert page(POTION, potions.list_query()) == []


def test_a_potion_without_lines_shows_an_empty_list(client):
    db.insert(Potion(name="Water"))
    assert page(POTION, potions.list_query())[0]["ingredients"] == []


def test_lines_keep_their_order_whatever_the_order_of_their_rows(client):
    parts = [make_ingredient(name=name) for name in "abc"]
    potion = make_potion(*parts)
    turned = text("UPDATE potion_ingredients SET position = 10 - position")
    db.session.execute(turned)
    shown = item(POTION, potions.by_pk(potion.pk))
    assert [line["name"] for line in shown["ingredients"]] == ["c", "b", "a"]


@pytest.mark.parametrize("microsecond", [0, 1, 100000, 120000, 999999])
def test_an_instant_has_six_digits_and_the_zone_utc(client, microsecond):
    when = datetime(2026, 11, 20, 7, 15, 0, microsecond, tzinfo=UTC)
    pk = make_ingredient(created_at=when, updated_at=when + timedelta(hours=1)).pk
    db.session.execute(text("SET LOCAL timezone = 'Asia/Kathmandu'"))
    shown = item(INGREDIENT, ingredients.by_pk(pk))
    assert shown["created_at"] == f"2026-11-20T07:15:00.{microsecond:06}+00:00"
    assert MICROSECONDS.fullmatch(shown["updated_at"])


def test_a_long_list_of_lines_is_whole(client):
    potion = make_potion(*[make_ingredient() for _ in range(100)])
    assert len(item(POTION, potions.by_pk(potion.pk))["ingredients"]) == 100


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
    amount = DecimalString(precision=12, scale=3, example="1.000")
    ingredient = Nested(Shelf)
    since = UtcDateTime(attribute="ingredient.created_at")


class Recipe(Schema):
    """A potion that renames its list."""

    parts = List(Nested(RecipeLine), attribute="ingredients")
    version = marshmallow_fields.Integer()
    name = Text(max=127)


def test_objects_lists_paths_and_other_names_are_projected_too(client):
    """What the two resources do not need yet, and the next ones will."""
    recipe = Recipe()
    made = make_potion(make_ingredient(name="Salt"), make_ingredient(name="Sage"))
    [row] = loaded_potions()
    shown = item(recipe, potions.by_pk(made.pk))
    assert shown == recipe.dump(row)
    assert [part["ingredient"]["shown-as"] for part in shown["parts"]] == ["Salt", "Sage"]


class Unprojectable(Schema):
    """A relationship shown as if it were a column."""

    ingredients = Text(max=10)


def test_a_field_that_cannot_serialize_a_relationship_raises_when_the_statement_is_built(client):
    with pytest.raises(TypeError, match="Text cannot serialize the relationship"):
        json_select.select_json(potions.by_pk(make_potion().pk).select, Unprojectable())
