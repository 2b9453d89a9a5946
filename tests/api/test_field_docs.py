"""How fields are documented: patterns for every regex engine, arrays, and formats."""

import re

import pytest

# Lookarounds and back-references, which RE2 lacks, and escapes that Ruby reads as broken UTF-8.
NOT_PORTABLE = re.compile(r"\(\?[=!<]|\\[1-9]|\\x[89a-f]|\\[pPzZAGkKRX]|\*\+|\+\+|\?\+")


def schemas(node):
    """Yield every object of a document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            yield from schemas(child)


@pytest.fixture(params=["v1", "v2"])
def document(app, request):
    return app.test_client().get(f"/api/{request.param}/openapi.json").json


def test_patterns_are_portable(document):
    patterns = {
        node["pattern"] for node in schemas(document) if isinstance(node.get("pattern"), str)
    }
    assert patterns
    assert [pattern for pattern in patterns if NOT_PORTABLE.search(pattern)] == []


def test_addresses_may_have_letters_beyond_ascii(document):
    formats = {node["format"] for node in schemas(document) if isinstance(node.get("format"), str)}
    assert {"idn-email", "iri"} <= formats
    assert not {"email", "uri"} & formats


def test_an_array_parameter_is_separated_by_commas(app):
    document = app.test_client().get("/api/v2/openapi.json").json
    arrays = [
        parameter
        for path in document["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", ())
        if "schema" in parameter and parameter["schema"].get("type") == "array"
    ]
    assert {"sort", "ingredient", "brewable_with"} <= {parameter["name"] for parameter in arrays}
    assert {(parameter["style"], parameter["explode"]) for parameter in arrays} == {("form", False)}


def test_sort_is_an_array_of_its_keys(app):
    document = app.test_client().get("/api/v2/openapi.json").json
    [sort] = [
        parameter
        for parameter in document["paths"]["/api/v2/users"]["get"]["parameters"]
        if parameter["name"] == "sort"
    ]
    names = ("pk", "email", "created_at", "updated_at")
    keys = [f"{sign}{name}" for name in names for sign in ("", "-")]
    assert sort["schema"]["items"] == {"$ref": "#/components/schemas/UserSortKey"}
    assert document["components"]["schemas"]["UserSortKey"]["enum"] == keys
    assert sort["schema"]["default"] == ["pk"]
