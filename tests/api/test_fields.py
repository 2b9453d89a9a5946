"""The types of the contract: what they take, what they make of it, and what they answer."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from alchemist.api.fields import (
    DecimalString,
    NameReference,
    Pk,
    QueryBoolean,
    Schema,
    StrictInteger,
    Text,
    UtcDateTime,
)
from alchemist.api.fields.datetimes import RFC_3339_PATTERN
from alchemist.domains.coupons.models import Coupon
from alchemist.domains.products.schemas import Money


class Label(Schema):
    """A row with a field that is read-only, and one that its creation decides."""

    immutable_fields = ("shelf",)

    pk = Pk(dump_only=True)
    shelf = Text(required=True, max=5)
    text = Text(required=True, max=5)
    note = Text(max=5, allow_none=True)


def codes(schema, body):
    """Return the code of each complaint by field."""
    with pytest.raises(ValidationError) as refused:
        schema.load(body)
    return {name: [one.code for one in found] for name, found in refused.value.messages.items()}


def code(field, value):
    with pytest.raises(ValidationError) as refused:
        field.deserialize(value)
    [message] = refused.value.messages
    return message.code


# What is settled


def test_what_is_settled_is_sent_at_creation():
    body = {"shelf": "top", "text": "a"}
    assert Label().load(body) == body
    assert codes(Label(), {"text": "a"}) == {"shelf": ["required"]}


def test_a_patch_takes_neither_what_is_settled_nor_what_is_read_only():
    assert codes(Label.for_patch(), {"shelf": "top", "pk": "x"}) == {
        "shelf": ["unknown-field"],
        "pk": ["unknown-field"],
    }


def test_a_patch_takes_a_part_of_the_rest():
    assert Label.for_patch().load({}) == {}
    assert Label.for_patch().load({"note": None}) == {"note": None}
    assert codes(Label.for_patch(), {"text": None}) == {"text": ["not-nullable"]}


def test_what_is_documented_as_writable_is_what_can_be_written():
    assert set(Label.for_request_body().fields) == {"shelf", "text", "note"}
    assert set(Label.for_request_body(partial=True).fields) == {"text", "note"}


def test_what_is_settled_is_answered_like_the_rest():
    assert set(Label().dump_fields) == {"pk", "shelf", "text", "note"}
    assert set(Label.for_patch().dump_fields) == {"pk", "shelf", "text", "note"}


# Instants


@pytest.mark.parametrize(
    "sent",
    [
        "2030-01-01T00:00:00Z",
        "2030-01-01t00:00:00z",
        "2030-01-01t12:59:00.0+12:59",
        "2029-12-31T00:01:00-23:59",
        "2030-01-01T00:00:00.000000-00:00",
    ],
)
def test_an_instant_is_that_of_rfc_3339_in_either_case(sent):
    assert UtcDateTime().deserialize(sent) == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "sent",
    [
        "2030-01-01 00:00:00Z",
        "2030-01-01T00:00:00",
        "2030-01-01T00:00:00+12:60",
        "2030-01-01T00:00:00-00:99",
        "2030-01-01T00:00:00+24:00",
        "2030-01-01T00:00:00+1200",
        "2030-01-01T24:00:00Z",
        "2030-13-01T00:00:00Z",
    ],
)
def test_an_instant_that_is_none_is_told(sent):
    assert code(UtcDateTime(), sent) == "wrong-type"


def test_the_pattern_rejects_hour_24_before_python_parses_it():
    assert not RFC_3339_PATTERN.fullmatch("2030-01-01T24:00:00Z")
    assert RFC_3339_PATTERN.fullmatch("2030-01-01T23:59:59Z")


# Flags


@pytest.mark.parametrize(("sent", "meant"), [("true", True), ("false", False)])
def test_a_flag_is_true_or_false(sent, meant):
    assert QueryBoolean().deserialize(sent) is meant


@pytest.mark.parametrize("sent", ["", "True", "FALSE", "1", "0", "yes", " true", "null"])
def test_a_flag_is_nothing_else(sent):
    assert code(QueryBoolean(), sent) == "not-one-of"


def test_a_flag_is_documented_as_a_boolean():
    assert QueryBoolean().metadata["type"] == "boolean"
    assert QueryBoolean(metadata={"examples": [False]}).metadata["examples"] == [False]


# Names in place of keys


def test_a_name_is_text_and_knows_its_row():
    field = NameReference(column=Coupon.code, min=1, max=64)
    assert field.deserialize(" Welcome ") == "Welcome"
    assert field.references is Coupon
    assert code(field, "a" * 65) == "too-long"
    assert code(field, " ") == "too-short"
    assert code(field, 5) == "wrong-type"


# Money

MONEY = Money(description="The price.", example="9.99")


@given(st.decimals(0, Decimal("9999999999.99"), places=2))
def test_money_is_what_was_sent_with_two_decimals(amount):
    sent = f"{amount:f}"
    loaded = MONEY.deserialize(sent)
    assert loaded == amount
    assert MONEY._serialize(loaded, None, None) == f"{amount:.2f}"
    assert re.fullmatch(MONEY.metadata["pattern"], sent)


@given(st.text("0123456789.-+eE ,", max_size=16))
def test_money_is_refused_exactly_where_its_documentation_says(text):
    if re.fullmatch(MONEY.metadata["pattern"], text):
        assert MONEY.deserialize(text) == Decimal(text)
    else:
        assert code(MONEY, text) in ("wrong-type", "out-of-range")


@given(st.integers() | st.floats() | st.booleans() | st.lists(st.text(), max_size=2))
def test_money_is_no_number_of_json(value):
    assert code(MONEY, value) == "wrong-type"


@pytest.mark.parametrize("text", ["-0.01", "-5", "-9999999999.99", "-0", "-0.00"])
def test_money_has_no_sign(text):
    assert code(MONEY, text) == "out-of-range"


def test_a_positive_number_is_not_zero():
    field = DecimalString(precision=5, scale=2, positive=True, example="1.00")
    assert code(field, "0.00") == "out-of-range"
    assert field.deserialize("0.01") == Decimal("0.01")


# Whole numbers


@given(st.integers(-20, 20))
def test_bounds_of_a_whole_number_are_inclusive(number):
    field = StrictInteger(min=-5, max=5)
    if -5 <= number <= 5:
        assert field.deserialize(number) == number
    else:
        assert code(field, number) == "out-of-range"


@pytest.mark.parametrize("value", ["5", 5.0, True, False, [5], {}])
def test_what_is_no_integer_of_json_is_no_whole_number(value):
    assert code(StrictInteger(min=0, max=9), value) == "wrong-type"
