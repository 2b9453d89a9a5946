"""The comparison of two OpenAPI documents finds what breaks clients, and nothing else."""

from copy import deepcopy

import pytest

from . import may_break
from .breaking_changes import breaking_changes

LIST = {
    "operationId": "listTeas",
    "x-permission": None,
    "parameters": [
        {"in": "query", "name": "q", "schema": {"type": "string", "maxLength": 200}},
        {"in": "query", "name": "kind", "schema": {"$ref": "#/components/schemas/Kind"}},
    ],
    "responses": {
        "200": {
            "headers": {"Link": {"required": True}},
            "content": {
                "application/json": {
                    "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Tea"}}
                }
            },
        },
        "422": {"description": "Unprocessable Content."},
    },
}
CREATE = {
    "operationId": "createTea",
    "x-permission": "teas:write",
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TeaCreate"}}},
    },
    "responses": {"201": {"description": "Created."}},
}
TEA = {
    "type": "object",
    "properties": {"pk": {"type": "string", "format": "uuid"}, "name": {"type": "string"}},
    "required": ["pk", "name"],
}
TEA_CREATE = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "pattern": "^x"},
        "note": {"type": ["string", "null"]},
        "kind": {"oneOf": [{"$ref": "#/components/schemas/Kind"}, {"type": "null"}]},
    },
    "required": ["name"],
    "additionalProperties": False,
}
KIND = {"type": "string", "enum": ["green", "black"]}
DOCUMENT = {
    "paths": {"/teas": {"get": LIST, "post": CREATE}},
    "components": {"schemas": {"Tea": TEA, "TeaCreate": TEA_CREATE, "Kind": KIND, "Cup": TEA}},
}


def changed(path, value):
    """Return the document with another value at the path; None removes it."""
    document = deepcopy(DOCUMENT)
    *parents, last = path
    node = document
    for step in parents:
        node = node[step]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return document


TEAS = ("paths", "/teas")
QUERY = (*TEAS, "get", "parameters")
OK = (*TEAS, "get", "responses", "200")
SCHEMAS = ("components", "schemas")
SENT, READ = (*SCHEMAS, "TeaCreate"), (*SCHEMAS, "Tea")
NAME = (*READ, "properties", "name")
OPTIONAL = {"in": "query", "name": "new", "schema": {"type": "string"}}
BREAKING = {
    "an operation is removed": ((*TEAS, "get"), None),
    "a path is removed": (TEAS, None),
    "an operation is renamed": ((*TEAS, "get", "operationId"), "findTeas"),
    "an operation needs a permission": ((*TEAS, "get", "x-permission"), "teas:read"),
    "a parameter is removed": (QUERY, LIST["parameters"][:1]),
    "a parameter becomes required": ((*QUERY, 0, "required"), True),
    "a new parameter is required": (QUERY, [*LIST["parameters"], OPTIONAL | {"required": True}]),
    "a limit gets stricter": ((*QUERY, 0, "schema", "maxLength"), 100),
    "a lower limit gets stricter": ((*SENT, "properties", "name", "minLength"), 2),
    "a limit is new": ((*SENT, "properties", "note", "maxLength"), 100),
    "a pattern changes": ((*SENT, "properties", "name", "pattern"), "^y"),
    "a value of a request is removed": ((*SCHEMAS, "Kind", "enum"), ["green"]),
    "a type of a request is removed": ((*SENT, "properties", "note", "type"), "string"),
    "an alternative is removed": ((*SENT, "properties", "kind", "oneOf", 1), None),
    "a member of a request becomes required": ((*SENT, "required"), ["name", "note"]),
    "a member of a request is removed": ((*SENT, "properties", "note"), None),
    "a body is refused": ((*TEAS, "post", "requestBody"), None),
    "a media type is removed": (
        (*TEAS, "post", "requestBody", "content"),
        {"text/csv": {"schema": {"type": "string"}}},
    ),
    "a schema is removed": ((*SCHEMAS, "Cup"), None),
    "a member of a response is removed": ((*READ, "properties", "name"), None),
    "a member of a response becomes optional": ((*READ, "required"), ["pk"]),
    "a member of a response is null": ((*NAME, "type"), ["string", "null"]),
    "a format changes": ((*READ, "properties", "pk", "format"), "uri"),
    "a type of a response changes": ((*READ, "properties", "name", "type"), "integer"),
    "a header is removed": ((*OK, "headers"), {}),
    "a header becomes optional": ((*OK, "headers", "Link", "required"), False),
    "a success status is removed": (OK, None),
}
HARMLESS = {
    "an operation is new": ((*TEAS, "delete"), {"operationId": "deleteTeas", "responses": {}}),
    "a path is new": (("paths", "/cups"), {"get": LIST}),
    "an optional parameter is new": (QUERY, [*LIST["parameters"], OPTIONAL]),
    "a limit gets looser": ((*QUERY, 0, "schema", "maxLength"), 300),
    "a limit is removed": ((*QUERY, 0, "schema", "maxLength"), None),
    "a value of a request is new": ((*SCHEMAS, "Kind", "enum"), ["green", "black", "white"]),
    "an optional member of a request is new": ((*SENT, "properties", "new"), {"type": "string"}),
    "a type of a request is new": ((*SENT, "properties", "name", "type"), ["string", "number"]),
    "a member of a response is new": ((*READ, "properties", "new"), {"type": "string"}),
    "a schema is new": ((*SCHEMAS, "Pot"), TEA),
    "a header is new": ((*OK, "headers", "X-Count"), {"required": False}),
    "a description changes": ((*OK, "description"), "All teas."),
    "an error is removed": ((*TEAS, "get", "responses", "422"), None),
}


@pytest.mark.parametrize(("path", "value"), BREAKING.values(), ids=BREAKING)
def test_it_finds_what_breaks_clients(path, value):
    assert breaking_changes(DOCUMENT, changed(path, value))


@pytest.mark.parametrize(("path", "value"), HARMLESS.values(), ids=HARMLESS)
def test_it_finds_nothing_in_what_does_not(path, value):
    assert breaking_changes(DOCUMENT, changed(path, value)) == []


def test_it_finds_nothing_in_the_same_document():
    assert breaking_changes(DOCUMENT, deepcopy(DOCUMENT)) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("0.1.0", "0.1.0", False),
        ("0.1.0", "0.1.9", False),
        ("0.1.0", "0.2.0", True),
        ("1.0.0", "1.9.0", False),
        ("0.9.0", "1.0.0", True),
        ("1.9.0", "2.0.0", True),
    ],
)
def test_a_version_may_break_clients_as_semantic_versioning_says(old, new, expected):
    assert may_break(old, new) is expected
