"""The operations of the OpenAPI documents: described, with examples that work when executed."""

import json

import pytest

from alchemist.docs.example_values import resolve_ref

from .documents import (
    OPERATION_IDS,
    every_operation,
    example_request,
    operations,
    success_response,
    validator,
)

# Headers that an operation does not send with every successful answer.
OPTIONAL_HEADERS = {
    "Alchemist-Position",
    *("X-Total-Count", "X-Total-Count-Exceeded", "Idempotent-Replayed", "Dry-Run"),
}
# Parameters without an example: a cursor and an ETag come from a response, keys from the client.
WITHOUT_EXAMPLE = {"cursor", "pk", "Idempotency-Key", "If-Match"}
# Revoking a token needs no If-Match, so that it always succeeds.
UNCONDITIONAL = {"deleteToken"}


@every_operation
def test_an_operation_has_a_summary_and_tags(operation, version):
    assert operation["summary"]
    assert operation["tags"]
    assert operation.get("deprecated", False) == (version == "v1")


@every_operation
def test_examples_of_headers_contain_no_placeholder(operation, documents, version):
    for response in operation["responses"].values():
        for header in response.get("headers", {}).values():
            assert "{" not in str(resolve_ref(header, documents[version])["example"])


@every_operation
def test_a_parameter_has_a_description_and_valid_examples(operation, documents, version):
    for parameter in operation["parameters"]:
        name = parameter["name"]
        schema = resolve_ref(parameter["schema"], documents[version])
        assert parameter["description"], name
        # A query has no null: a parameter is left out. Arrays are separated by commas.
        assert schema["type"] in ("string", "integer", "boolean", "array")
        assert schema["type"] != "array" or parameter["explode"] is False
        values = [*schema.get("examples", ()), *schema.get("enum", ())]
        values += [parameter["example"]] if "example" in parameter else []
        values += [schema["default"]] if "default" in schema else []
        assert values or name in WITHOUT_EXAMPLE, name
        for value in values:
            validator(schema, documents[version]).validate(value)
        assert "example" in parameter or not parameter.get("required") or name == "If-Match"


@every_operation
def test_bodies_have_valid_examples(operation, documents, version):
    document = documents[version]
    responses = [resolve_ref(response, document) for response in operation["responses"].values()]
    for body in (operation.get("requestBody", {}), *responses):
        for content in body.get("content", {}).values():
            examples = content.get("examples", {}).values()
            values = [resolve_ref(example, document)["value"] for example in examples]
            values += [content["example"]] if "example" in content else []
            assert values
            for value in values:
                validator(content["schema"], document).validate(value)


@every_operation
def test_an_operation_lists_its_responses(operation, documents, version):
    status, success = success_response(operation)
    assert ("content" in success) == (status != "204")
    is_creation = (version, status) == ("v2", "201") and not operation["path"].endswith("/batch")
    of_creation = {"ETag", "Location"} if is_creation else set()
    assert {"X-Request-ID", *of_creation} <= set(success["headers"])
    assert {"400", "414", "431", "503"} <= set(operation["responses"])
    assert "default" not in operation["responses"]
    for status, response in operation["responses"].items():
        if status >= "400":
            assert (
                "application/problem+json" in resolve_ref(response, documents[version])["content"]
            )


@every_operation
def test_updates_and_deletions_require_if_match(operation, version):
    is_conditional = operation["operationId"] not in UNCONDITIONAL
    is_change = version == "v2" and operation["method"] in ("patch", "delete") and is_conditional
    assert is_change == ({"404", "412", "428"} <= set(operation["responses"]))
    required = {p["name"] for p in operation["parameters"] if p.get("required")}
    assert is_change == ("If-Match" in required)


def test_items_document_their_projection_and_batches_what_they_update(documents):
    for path, method, operation in operations(documents["v2"]):
        parameters = {each["name"]: each for each in operation["parameters"] if "name" in each}
        names = parameters.keys()
        is_item = path.endswith("/{pk}") and method == "get"
        assert ("fields" in names) == (is_item or "sort" in names), path
        assert ("on_conflict" in names) == path.endswith("/batch"), path
        for name in names & {"fields", "expand"}:
            assert "$ref" in parameters[name]["schema"]["items"], path


@pytest.fixture
def stored_key(client_with_sample_data):
    """The key of the examples, used by a request."""
    headers = {"Idempotency-Key": "checkout-7"}
    client_with_sample_data.post("/api/v2/ingredients", json={"name": "Rue"}, headers=headers)


@every_operation
def test_the_examples_can_be_executed(client_with_sample_data, stored_key, operation):
    bodies = [
        {"data": json.dumps(content["example"]), "content_type": media_type}
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    for body in bodies or [{}]:
        request = example_request(operation)
        if any(p["name"] == "If-Match" and p["required"] for p in operation["parameters"]):
            etag = client_with_sample_data.get(request["path"]).headers["ETag"]
            request["headers"]["If-Match"] = etag
        response = client_with_sample_data.open(**request, **body)
        status, documented = success_response(operation)
        assert response.status.startswith(status), response.get_data(as_text=True)
        assert set(documented["headers"]) - OPTIONAL_HEADERS <= set(response.headers.keys())


# The feed of changes has only what is committed, and the sample data of a test never is.
READING = [
    name
    for name in OPERATION_IDS["v2"]
    if name.startswith(("get", "list")) and name != "listChanges"
]


@pytest.mark.parametrize("operation_id", READING)
@pytest.mark.parametrize("version", ["v2"])
def test_each_optional_parameter_can_be_executed(client_with_sample_data, stored_key, operation):
    """One at a time: together they may match no row."""
    for parameter in operation["parameters"]:
        for value in parameter["schema"].get("examples", ()):
            request = example_request(operation, {parameter["name"]: value})
            response = client_with_sample_data.open(**request)
            assert response.status_code == 200, response.get_data(as_text=True)
            assert response.json, parameter["name"]


def test_a_415_documents_its_headers_with_the_accepted_media_types(client, documents):
    documented = documents["v2"]["components"]["responses"]["UnsupportedMediaType"]["headers"]
    row = client.post("/api/v2/ingredients", json={"name": "Mandrake"}).location
    for name, method, path in [
        ("Accept", "POST", "/api/v2/ingredients"),
        ("Accept-Patch", "PATCH", row),
    ]:
        response = client.open(path, method=method, data="x", headers={"If-Match": "*"})
        assert response.status_code == 415
        header = resolve_ref(documented[name], documents["v2"])
        assert response.headers[name] == header["example"]
