"""The OpenAPI document of version 1 describes its leniency."""

import json
import re

import pytest

# What RE2 or ECMAScript cannot read: look-around, possessive quantifiers, anchors of Python.
NOT_PORTABLE = re.compile(r"\(\?|[*+?}]\+|\\[AZzGpP]")


@pytest.fixture
def document(client):
    return client.get("/api/v1/openapi.json").json


def patterns(node):
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        for member in node.values():
            yield from patterns(member)
    elif isinstance(node, list):
        for member in node:
            yield from patterns(member)


def test_every_tool_can_read_its_regular_expressions(document):
    assert not [pattern for pattern in patterns(document) if NOT_PORTABLE.search(pattern)]


def test_no_number_must_be_a_multiple(document):
    assert "multipleOf" not in json.dumps(document)


@pytest.mark.parametrize(
    ("schema", "field", "types"),
    [
        ("StoreCreate", "zipcode", {"string", "number"}),
        ("StoreUpdate", "phone", {"string", "number", "null"}),
        ("UserCreate", "full_name", {"string", "number"}),
        ("HeroUpdate", "nickname", {"string", "number"}),
        ("CouponCreate", "code", {"string", "number"}),
        ("CouponCreate", "init_count", {"integer", "string"}),
        ("CouponCreate", "remaining_count", {"integer", "string", "null"}),
        ("OrderItemCreate", "quantity", {"integer", "string"}),
        ("ProductUpdate", "price", {"number", "string"}),
    ],
)
def test_a_field_has_all_types_that_it_takes(document, schema, field, types):
    properties = document["components"]["schemas"][schema]["properties"]
    assert set(properties[field]["type"]) == types


@pytest.mark.parametrize(
    ("schema", "field", "type"),
    [
        ("PotionCreate", "name", "string"),
        ("Product", "price", "number"),
        ("Order", "total", "number"),
        ("Store", "zipcode", "string"),
        ("Coupon", "init_count", "integer"),
    ],
)
def test_an_answer_has_one_type(document, schema, field, type):
    assert document["components"]["schemas"][schema]["properties"][field]["type"] == type
