"""The OpenAPI documents as a whole: valid, complete, and without anything unused or empty."""

import json
import re

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from alchemist.docs.example_values import resolve_ref
from alchemist.errors import PROBLEM_TYPES

from .documents import OPERATION_IDS, every_version, objects, operations, validator

pytestmark = every_version


def test_it_is_a_valid_document(documents, version):
    OPENAPI_31_VALIDATOR.validate(documents[version])


def test_its_operation_ids_do_not_change(documents, version):
    operation_ids = [operation["operationId"] for *_, operation in operations(documents[version])]
    assert operation_ids == OPERATION_IDS[version], (
        "Put the operationIds into _OPERATION_IDS in tests/docs/documents.py, in the order of the "
        "document. Renaming one breaks generated clients."
    )


def test_it_has_exactly_the_operations_of_the_application(app, documents, version):
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if hasattr(app.view_functions[rule.endpoint], "view_class")
        if rule.rule.startswith(f"/api/{version}/")
    }
    assert {(path, method) for path, method, _ in operations(documents[version])} == served


def test_its_info_describes_the_api(documents, version):
    info = documents[version]["info"]
    assert info["title"] == "Alchemist"
    assert info["version"] == {"v1": "1.0", "v2": "2.0"}[version]
    assert info["license"] == {"name": "MIT", "identifier": "MIT"}
    assert "contact" not in info
    assert "application/problem+json" in info["description"]


def test_every_tag_is_described_and_used(documents, version):
    tags = {tag["name"]: tag["description"] for tag in documents[version]["tags"]}
    used = {tag for *_, operation in operations(documents[version]) for tag in operation["tags"]}
    assert set(tags) == used
    assert all(tags.values())


def test_no_text_and_no_schema_is_empty(documents, version):
    for node in objects(documents[version]):
        for name in ("summary", "description"):
            assert node.get(name, "a property of that name") not in ("", None)
        assert node.get("schema", "none") not in ({}, None)


def test_every_component_is_used(documents, version):
    text = json.dumps(documents[version])
    for kind, components in documents[version]["components"].items():
        for name in components.keys() - ({"bearer"} if kind == "securitySchemes" else set()):
            assert f'"#/components/{kind}/{name}"' in text


def test_every_field_has_a_description_and_valid_examples(documents, version):
    document = documents[version]
    for schema in document["components"]["schemas"].values():
        for name, field in schema.get("properties", {}).items():
            assert field["description"], name
            is_nested = {"oneOf", "$ref"} & field.keys() or field["type"] in ("array", "object")
            assert "examples" in field or is_nested, name
            for example in field.get("examples", ()):
                validator(field, document).validate(example)


def test_every_field_of_a_response_is_required(documents, version):
    document = documents[version]
    for *_, operation in operations(document):
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values() if status < "400" else ():
                schema = content["schema"]
                row = resolve_ref(schema.get("items", schema), document)
                optional = set(row.get("properties", ())) - set(row.get("required", ()))
                for name in optional:
                    assert "only if `expand` names it" in row["properties"][name]["description"]
                assert row.get("additionalProperties") is not False


def test_the_examples_of_errors_are_those_of_their_problems(documents, version):
    components = documents[version]["components"]
    examples = dict(components["examples"])
    for response in components["responses"].values():
        examples |= response["content"]["application/problem+json"]["examples"]
    assert set(examples) <= set(PROBLEM_TYPES)
    for code, example in examples.items():
        assert example["value"]["code"] == code
        assert example["value"]["status"] == PROBLEM_TYPES[code].status
        assert example["description"] == PROBLEM_TYPES[code].description


@pytest.mark.parametrize("header", ["Deprecation", "Link"])
def test_only_responses_of_version_1_are_deprecated(documents, version, header):
    responses = [node for node in objects(documents[version]["paths"]) if "headers" in node]
    assert responses
    has_header = [header in response["headers"] for response in responses]
    assert all(has_header) if version == "v1" else not all(has_header)
