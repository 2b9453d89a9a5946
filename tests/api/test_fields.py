"""The fields: what they accept, what they load it as, and how they are documented."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from unicodedata import normalize

import pytest
from marshmallow import ValidationError

from alchemist.api.fields import (
    DecimalString,
    NameReference,
    Pk,
    QueryBoolean,
    QueryDateTime,
    Schema,
    StrictInteger,
    Text,
    UtcDateTime,
    strings,
)
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.coupons.schemas import CouponSchema
from alchemist.domains.heroes.schemas import HeroSchema
from alchemist.domains.ingredients.schemas import IngredientSchema
from alchemist.domains.potions.schemas import PotionSchema
from alchemist.domains.products.schemas import Money, ProductSchema
from alchemist.domains.stores.schemas import StoreSchema
from alchemist.domains.users.schemas import UserSchema
from tests.properties import given, st


class Label(Schema):
    """A schema with a read-only field and an immutable one."""

    immutable_fields = ("shelf",)

    pk = Pk(dump_only=True)
    shelf = Text(required=True, max=5)
    text = Text(required=True, max=5)
    note = Text(max=5, allow_none=True)


def codes(schema, body):
    """Return the codes of the errors by field."""
    with pytest.raises(ValidationError) as raised:
        schema.load(body)
    return {
        name: [message.code for message in messages]
        for name, messages in raised.value.messages.items()
    }


def code(field, value):
    """Return the code of the only error of a value."""
    with pytest.raises(ValidationError) as raised:
        field.deserialize(value)
    [message] = raised.value.messages
    return message.code


# Immutable fields


def test_a_post_sets_immutable_fields():
    body = {"shelf": "top", "text": "a"}
    assert Label().load(body) == body
    assert codes(Label(), {"text": "a"}) == {"shelf": ["required"]}


def test_a_patch_sets_neither_immutable_nor_read_only_fields():
    assert codes(Label.for_patch(), {"shelf": "top", "pk": "x"}) == {
        "shelf": ["unknown-field"],
        "pk": ["unknown-field"],
    }


def test_a_patch_may_set_any_of_the_other_fields():
    assert Label.for_patch().load({}) == {}
    assert Label.for_patch().load({"note": None}) == {"note": None}
    assert codes(Label.for_patch(), {"text": None}) == {"text": ["not-nullable"]}


def test_a_request_body_is_documented_with_the_fields_that_it_may_set():
    assert set(Label.for_request_body().fields) == {"shelf", "text", "note"}
    assert set(Label.for_request_body(partial=True).load_fields) == {"text", "note"}


def test_the_body_of_a_patch_is_documented_with_the_read_only_fields_that_it_may_repeat():
    assert set(Label.for_request_body(partial=True).fields) == {"pk", "shelf", "text", "note"}


def test_a_response_contains_immutable_fields():
    assert set(Label().dump_fields) == {"pk", "shelf", "text", "note"}
    assert set(Label.for_patch().dump_fields) == {"pk", "shelf", "text", "note"}


# Text


@pytest.fixture
def normalized(monkeypatch):
    """The texts that were normalised."""
    texts = []

    def record(form, text):
        texts.append(text)
        return normalize(form, text)

    monkeypatch.setattr(strings, "normalize", record)
    return texts


@pytest.mark.parametrize(
    "field", [Text(max=5), NameReference(column=Coupon.code_folded, max=5)], ids=["text", "name"]
)
def test_a_text_far_beyond_its_limit_is_an_error_before_it_is_normalized(field, normalized):
    longest = "a" + "\u0301" * 19
    assert code(field, longest) == "too-long"
    assert normalized == [longest]
    assert code(field, longest + "\u0301") == "too-long"
    assert normalized == [longest]


def test_a_text_that_is_short_only_in_nfc_is_accepted():
    assert Text(max=5).deserialize("e\u0301" * 5) == "é" * 5


INVISIBLE = (
    "\x1b\x85\xa0\xad\u115f\u1160\u180e\u2002\u200b\u200d\u202e\u2060\u2800\u3164\ufeff\uffa0"
)


@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
def test_a_text_of_invisible_characters_is_blank(character):
    assert code(Text(min=1, max=5), character) == "too-short"
    assert code(Text(min=1, max=5), f" {character}\n{character}") == "too-short"
    assert Text(max=5).deserialize(character) == ""


@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
def test_invisible_characters_are_removed_at_both_ends_only(character):
    assert Text(max=5).deserialize(f"{character}a{character}b{character}") == f"a{character}b"


def test_the_family_emoji_keeps_its_joiners():
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert Text(max=5).deserialize(f" {family} ") == family


@pytest.mark.parametrize(
    "text",
    [
        "Tea \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\u2764\ufe0f",
        "1\ufe0f\u20e3",
    ],
    ids=["flag of England", "red heart", "keycap"],
)
def test_a_text_that_ends_in_an_emoji_is_stored_whole(client, text):
    response = client.post("/api/v2/ingredients", json={"name": f" {text}\u200b"})
    assert response.json["name"] == text


def test_invisible_characters_are_dropped_from_the_inside_of_a_code():
    text = "a\u200b\u3164 b\u00adc"
    assert Text(max=9, is_code=True).deserialize(text) == "a bc"
    assert Text(max=9).deserialize(text) == text
    assert code(Text(max=9, min=1, is_code=True), "\u200b\u3164") == "too-short"


# Names in place of keys


def test_a_name_reference_is_text_with_a_model():
    field = NameReference(column=Coupon.code_folded, min=1, max=64)
    assert field.deserialize(" Welcome ") == "Welcome"
    assert field.references is Coupon
    assert code(field, "a" * 65) == "too-long"
    assert code(field, " ") == "too-short"
    assert code(field, 5) == "wrong-type"


# Dates and times


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-01T00:00:00Z",
        "2030-01-01t00:00:00z",
        "2030-01-01t12:59:00.0+12:59",
        "2029-12-31T00:01:00-23:59",
        "2030-01-01T00:00:00.000000-00:00",
        "2030-01-01T00:00:00+0000",
        "2030-01-01T12:00:00+1200",
        "2030-01-01T00:00:00.0000009Z",
        "2030-01-01T00:00:00.000000999999999999Z",
    ],
)
def test_a_time_is_that_of_rfc_3339_in_upper_or_lower_case(text):
    assert UtcDateTime().deserialize(text) == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-01 00:00:00Z",
        "2030-01-01T00:00:00",
        "2030-01-01T00:00:00.Z",
        "2030-01-01T00:00:00+12:60",
        "2030-01-01T00:00:00-00:99",
        "2030-01-01T00:00:00+24:00",
        "2030-01-01T00:00:00 12:00",
        "2030-01-01T24:00:00Z",
        "2030-01-01T00:00:60Z",
        "2030-13-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        20300101,
    ],
)
def test_any_other_time_is_an_error(text):
    assert code(UtcDateTime(), text) == "wrong-type"


def test_the_pattern_itself_excludes_the_hour_24(monkeypatch):
    """`datetime.fromisoformat` accepts it from Python 3.14 on."""
    parsed = []

    class Lenient(datetime):
        @classmethod
        def fromisoformat(cls, text):
            parsed.append(text)
            return datetime(2030, 1, 2, tzinfo=UTC)

    monkeypatch.setattr("alchemist.api.fields.datetimes.datetime", Lenient)
    assert code(UtcDateTime(), "2030-01-01T24:00:00Z") == "wrong-type"
    assert parsed == []


@pytest.mark.parametrize("offset", ["+02:00", " 02:00", " 0200", "%2B02:00"])
def test_the_plus_of_an_offset_may_be_a_blank_in_a_query(offset):
    text = f"2030-01-01T02:00:00{offset.replace('%2B', '+')}"
    assert QueryDateTime().deserialize(text) == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2030-01-01 02:00:00Z", "2030-01-01T02:00:00 ", " 02:00"])
def test_any_other_blank_is_an_error_in_a_query(text):
    assert code(QueryDateTime(), text) == "wrong-type"


# Booleans


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_a_boolean_in_a_query_is_true_or_false(text, value):
    assert QueryBoolean().deserialize(text) is value


@pytest.mark.parametrize("text", ["", "True", "FALSE", "1", "0", "yes", " true", "null"])
def test_any_other_boolean_is_an_error(text):
    assert code(QueryBoolean(), text) == "not-one-of"


def test_a_boolean_in_a_query_is_documented_as_a_boolean():
    assert QueryBoolean().metadata["type"] == "boolean"
    assert QueryBoolean(metadata={"examples": [False]}).metadata["examples"] == [False]


# Decimals

MONEY = Money(description="The price.", example="9.99")


@given(st.decimals(0, Decimal("9999999999.99"), places=2))
def test_money_is_loaded_exactly_and_dumped_with_two_decimals(amount):
    text = f"{amount:f}"
    loaded = MONEY.deserialize(text)
    assert loaded == amount
    assert MONEY._serialize(loaded, None, None) == f"{amount:.2f}"
    assert re.fullmatch(MONEY.metadata["pattern"], text)


@given(st.text("0123456789.-+eE ,", max_size=16))
def test_money_is_valid_exactly_if_it_matches_the_documented_pattern(text):
    if re.fullmatch(MONEY.metadata["pattern"], text):
        assert MONEY.deserialize(text) == Decimal(text)
    else:
        assert code(MONEY, text) in ("wrong-type", "out-of-range")


@given(st.integers() | st.floats() | st.booleans() | st.lists(st.text(), max_size=2))
def test_money_is_not_a_json_number(value):
    assert code(MONEY, value) == "wrong-type"


@pytest.mark.parametrize("text", ["-0.01", "-5", "-9999999999.99", "-0", "-0.00"])
def test_money_has_no_sign(text):
    assert code(MONEY, text) == "out-of-range"


POSITIVE = DecimalString(precision=5, scale=2, positive=True, example="1.00")


def test_a_positive_decimal_is_not_zero():
    assert code(POSITIVE, "0.00") == "out-of-range"
    assert POSITIVE.deserialize("0.01") == Decimal("0.01")


@given(st.from_regex(r"\A[0-2]{1,4}(\.[0-2]{1,3})?\Z"))
def test_a_positive_decimal_is_valid_exactly_if_it_matches_the_documented_pattern(text):
    if re.fullmatch(POSITIVE.metadata["pattern"], text):
        assert POSITIVE.deserialize(text) == Decimal(text)
    else:
        assert code(POSITIVE, text) == "out-of-range"


# Integers


@given(st.integers(-20, 20))
def test_the_bounds_of_an_integer_are_inclusive(number):
    field = StrictInteger(min=-5, max=5)
    if -5 <= number <= 5:
        assert field.deserialize(number) == number
    else:
        assert code(field, number) == "out-of-range"


@pytest.mark.parametrize(("value", "loaded"), [(5, 5), (5.0, 5), (-0.0, 0)])
def test_an_integer_may_be_a_json_number_without_a_fraction(value, loaded):
    integer = StrictInteger(min=0, max=9).deserialize(value)
    assert integer == loaded
    assert type(integer) is int


@pytest.mark.parametrize("value", ["5", 5.5, "5.0", True, False, [5], {}, float("nan")])
def test_any_other_value_is_not_an_integer(value):
    assert code(StrictInteger(min=0, max=9), value) == "wrong-type"


def test_a_float_beyond_the_bounds_is_out_of_range():
    assert code(StrictInteger(min=0, max=9), 1e300) == "out-of-range"


SCHEMAS = [
    schema_class()
    for schema_class in (
        *(CouponSchema, HeroSchema, IngredientSchema, PotionSchema, ProductSchema),
        *(StoreSchema, UserSchema),
    )
]
PK = "01962eea-ff31-7cc6-a103-65e42798b07b"
TEXTS = ["", " ", "Sage\n", "a@b.example", "EUR", "mage", "12.50", "\0", "2026-11-20T07:15:00Z", PK]
INGREDIENTS = st.lists(
    st.sampled_from([PK, "x", {"pk": PK}, {"pk": PK, "name": "a"}, {"pk": PK, "amount": "1"}, {}])
)
ANY_VALUE = st.sampled_from([*TEXTS, None, 0, 1.0, -1, True, [], {}]) | INGREDIENTS


@given(data=st.data(), schema=st.sampled_from(SCHEMAS), is_patch=st.booleans())
def test_a_body_is_loaded_in_the_short_way_as_in_the_long_one(data, schema, is_patch):
    schema = type(schema).for_patch() if is_patch else schema
    body = data.draw(st.dictionaries(st.sampled_from([*schema.fields, "other"]), ANY_VALUE))
    try:
        expected = schema.load(body)
    except ValidationError:
        expected = None
    assert schema.load_valid_or_none(body) in (None, expected)


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (IngredientSchema(), {"name": " Sage", "description": None}),
        (PotionSchema(), {"name": "Tea", "ingredients": [PK]}),
        (PotionSchema(), {"name": "Tea", "ingredients": [{"pk": PK, "amount": "1.5"}]}),
        (PotionSchema.for_patch(), {"description": "Hot"}),
    ],
)
def test_an_ordinary_body_is_loaded_in_the_short_way(schema, body):
    assert schema.load_valid_or_none(body) == schema.load(body)
