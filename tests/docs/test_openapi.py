"""The OpenAPI documents: complete, true, and executable as they stand."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from alchemist import database as db
from alchemist.cli import sample_data
from alchemist.docs.example_values import resolve_ref
from alchemist.errors import PROBLEM_TYPES
from tests.factories import bearer, make_user, sign_in

VERSIONS = ("v2", "v1")
# Headers of some answers of an operation, and not of others.
SOMETIMES = {"X-Total-Count", "Idempotent-Replayed"}
OPERATIONS = {
    "v2": [
        "listIngredients",
        "createIngredient",
        "getIngredient",
        "updateIngredient",
        "deleteIngredient",
        "listPotions",
        "createPotion",
        "getPotion",
        "updatePotion",
        "deletePotion",
        "listUsers",
        "createUser",
        "getUser",
        "updateUser",
        "deleteUser",
        "anonymiseUser",
        "listTokens",
        "createToken",
        "getToken",
        "deleteToken",
        "getMe",
        "listHeroes",
        "createHero",
        "getHero",
        "updateHero",
        "deleteHero",
        "listStores",
        "createStore",
        "getStore",
        "updateStore",
        "deleteStore",
        "listProducts",
        "createProduct",
        "getProduct",
        "updateProduct",
        "deleteProduct",
        "restockProduct",
        "listCoupons",
        "createCoupon",
        "getCoupon",
        "updateCoupon",
        "deleteCoupon",
        "listRedemptions",
        "redeemCoupon",
        "getRedemption",
        "listOrders",
        "createOrder",
        "quoteOrder",
        "getOrder",
        "payOrder",
        "fulfilOrder",
        "cancelOrder",
        "listAuditEntries",
        "getAuditEntry",
    ],
    "v1": [
        "v1GetRoot",
        "v1GetHealth",
        "v1ListIngredients",
        "v1CreateIngredient",
        "v1GetIngredient",
        "v1ListPotions",
        "v1CreatePotion",
        "v1GetPotion",
        "v1ListUsers",
        "v1GetUser",
        "v1CreateUser",
        "v1CreateHero",
        "v1GetHero",
        "v1UpdateHero",
        "v1DeleteHero",
        "v1ListStores",
        "v1CreateStore",
        "v1GetStore",
        "v1UpdateStore",
        "v1DeleteStore",
        "v1ListProducts",
        "v1CreateProduct",
        "v1GetProduct",
        "v1UpdateProduct",
        "v1DeleteProduct",
        "v1CreateCoupon",
        "v1GetCoupon",
        "v1ListOrders",
        "v1CreateOrder",
        "v1GetOrder",
    ],
}
EVERY = [(version, name) for version in VERSIONS for name in OPERATIONS[version]]
# Nobody can know these beforehand: a cursor is of the list that gave it, a key of the caller.
OPAQUE = {"cursor", "Idempotency-Key"}
# Revoking a token is not conditional: it must never fail to.
UNCONDITIONAL = {"deleteToken"}

Json = dict[str, Any]
every_operation = pytest.mark.parametrize(("version", "name"), EVERY)
every_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(scope="module")
def documents(app) -> dict[str, Json]:
    client = app.test_client()
    return {version: client.get(f"/api/{version}/openapi.json").json for version in VERSIONS}


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


@pytest.fixture
def operation(documents, version, name) -> Json:
    """The operation of a parametrized test, with its path and method."""
    for path, method, found in operations(documents[version]):
        if found["operationId"] == name:
            return found | {"path": path, "method": method}
    raise LookupError(name)


@pytest.fixture
def with_sample_data(client):
    """A client of the app with the sample data."""
    for kind, batch in sample_data._batches():
        sample_data._add(db.session.connection(), sample_data.SAMPLE_TABLES[kind], batch)
    return client


def parts(node: Any, found: Any = None) -> Iterator[Json]:
    """Yield every object of a document, but none of the examples in it."""
    if isinstance(node, list):
        for member in node:
            yield from parts(member)
    elif isinstance(node, dict):
        yield node
        for name, member in node.items():
            if name not in ("example", "examples"):
                yield from parts(member)


def validator(schema: Json, document: Json) -> jsonschema_rs.Draft202012Validator:
    rooted = {**schema, "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(rooted, validate_formats=True)


def success(operation: Json) -> tuple[str, Json]:
    status = min(status for status in operation["responses"] if status.startswith("2"))
    return status, operation["responses"][status]


def request_of(operation: Json, more: dict[str, Any] | None = None) -> Json:
    """Return the request that the document shows, with `more` of its optional parameters."""
    values = {p["name"]: p["example"] for p in operation["parameters"] if "example" in p}
    values |= more or {}
    named: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation["parameters"]:
        if parameter["name"] in values:
            value = values[parameter["name"]]
            text = ",".join(value) if isinstance(value, list) else shown(value)
            named[parameter["in"]][parameter["name"]] = text
    return {
        "method": operation["method"].upper(),
        "path": operation["path"].format(**named["path"]),
        "query_string": urlencode(named["query"]),
        "headers": named["header"],
    }


def shown(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


@every_version
def test_it_is_a_valid_document(documents, version):
    OPENAPI_31_VALIDATOR.validate(documents[version])


@every_version
def test_its_operations_keep_their_names(documents, version):
    found = [operation["operationId"] for *_, operation in operations(documents[version])]
    assert found == OPERATIONS[version]


@every_version
def test_it_has_what_the_application_serves_and_no_more(app, documents, version):
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if hasattr(app.view_functions[rule.endpoint], "view_class")
        if rule.rule.startswith(f"/api/{version}/")
    }
    assert {(path, method) for path, method, _ in operations(documents[version])} == served


@every_version
def test_it_says_what_it_is_and_how_to_use_it(documents, version):
    info = documents[version]["info"]
    assert info["title"] == "Alchemist"
    assert info["version"] == {"v1": "1.0", "v2": "2.0"}[version]
    assert info["license"] == {"name": "MIT", "identifier": "MIT"}
    assert "contact" not in info
    assert "application/problem+json" in info["description"]


@every_version
def test_every_tag_is_described_and_used(documents, version):
    tags = {tag["name"]: tag["description"] for tag in documents[version]["tags"]}
    used = {tag for *_, operation in operations(documents[version]) for tag in operation["tags"]}
    assert set(tags) == used
    assert all(tags.values())


@every_version
def test_nothing_in_it_is_left_empty(documents, version):
    for part in parts(documents[version]):
        for name in ("summary", "description"):
            assert part.get(name, "a property of that name") not in ("", None)
        assert part.get("schema", "none") not in ({}, None)


@every_version
def test_every_component_is_used(documents, version):
    text = json.dumps(documents[version])
    for kind, components in documents[version]["components"].items():
        for name in components.keys() - ({"bearer"} if kind == "securitySchemes" else set()):
            assert f'"#/components/{kind}/{name}"' in text


@every_version
def test_every_field_says_what_it_means_and_shows_a_value_that_fits(documents, version):
    document = documents[version]
    for schema in document["components"]["schemas"].values():
        for name, field in schema["properties"].items():
            assert field["description"], name
            of_others = {"anyOf", "$ref"} & field.keys() or field["type"] in ("array", "object")
            assert "examples" in field or of_others, name
            for example in field.get("examples", ()):
                validator(field, document).validate(example)


@every_version
def test_answers_promise_all_of_their_fields(documents, version):
    document = documents[version]
    for *_, operation in operations(document):
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                schema = content["schema"]
                row = resolve_ref(schema.get("items", schema), document)
                assert set(row.get("required", ())) == set(row.get("properties", ()))
                assert row.get("additionalProperties") is not False


def test_answers_of_the_older_version_tell_their_successor(documents):
    for part in parts(documents["v1"]["paths"]):
        if "headers" in part:
            assert {"Deprecation", "Link"} <= set(part["headers"])


@every_operation
def test_an_operation_explains_itself(operation, version):
    assert operation["summary"]
    assert operation["tags"]
    permission = operation["x-permission"]
    told = f"`{permission}`" if permission else "Open to everybody."
    assert told in operation["description"]
    assert operation.get("deprecated", False) == (version == "v1")


@every_version
def test_it_says_how_to_show_who_one_is(documents, version):
    schemes = documents[version]["components"]["securitySchemes"]
    assert list(schemes) == ["bearer"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert "alc_" in schemes["bearer"]["bearerFormat"]
    assert schemes["bearer"]["description"]


@every_operation
def test_an_operation_says_who_may(app, operation):
    rule = re.sub(r"{(\w+)}", r"<(?:\\w+:)?\1>", operation["path"])
    [view] = {
        app.view_functions[known.endpoint].view_class
        for known in app.url_map.iter_rules()
        if re.fullmatch(rule, known.rule)
    }
    permission = view.permissions[operation["method"]]
    assert operation["x-permission"] == permission
    token = {"bearer": []}
    assert operation["security"] == ([token] if permission else [{}, token])


@every_operation
def test_an_operation_says_how_those_are_refused_who_may_not(operation, documents, version):
    answers = operation["responses"]
    assert ("403" in answers) == (operation["x-permission"] is not None)
    assert "WWW-Authenticate" in resolve_ref(answers["401"], documents[version])["headers"]


@every_operation
def test_those_are_refused_as_it_is_said_who_may_not(
    client_with_auth, operation, documents, version
):
    """Nobody, then somebody with a token that is none, and then somebody who may do nothing."""
    nothing = sign_in(make_user(role="admin"), "me:read")
    permission = operation["x-permission"]
    if permission not in (None, "me:read"):
        assert_as_documented(client_with_auth, operation, documents[version], "401", {})
        refusal = assert_as_documented(
            client_with_auth, operation, documents[version], "403", nothing
        )
        assert refusal["errors"][0]["permission"] == permission
    assert_as_documented(client_with_auth, operation, documents[version], "401", bearer("alc_none"))


def assert_as_documented(client, operation, document, status, headers) -> Json:
    given = request_of(operation)
    answer = client.open(**given | {"headers": given["headers"] | headers})
    assert answer.status_code == int(status)
    documented = resolve_ref(operation["responses"][status], document)
    assert set(documented["headers"]) <= set(answer.headers.keys())
    schema = documented["content"]["application/problem+json"]["schema"]
    validator(schema, document).validate(answer.json)
    return answer.json


def test_the_caller_may_be_nobody(documents):
    user = documents["v2"]["components"]["schemas"]["Me"]["properties"]["user"]
    assert {"type": "null"} in user["anyOf"]
    validator(user, documents["v2"]).validate(None)


def test_a_refusal_names_the_permission_that_is_missing(documents):
    document = documents["v2"]
    assert "permission" in document["components"]["schemas"]["ErrorDetail"]["properties"]
    forbidden = document["components"]["responses"]["Forbidden"]["content"]
    shown = forbidden["application/problem+json"]["examples"]["forbidden"]["value"]
    assert shown["errors"][0]["permission"] == "potions:write"


def test_only_the_making_of_a_token_shows_its_secret(documents):
    document = documents["v2"]
    showing = {
        operation["operationId"]
        for _, _, operation in operations(document)
        if "/TokenSecret" in json.dumps(operation["responses"])
    }
    assert showing == {"createToken"}
    assert "token" not in document["components"]["schemas"]["Token"]["properties"]
    assert "token" in document["components"]["schemas"]["TokenSecret"]["properties"]


@every_operation
def test_examples_of_headers_name_no_placeholder(operation):
    for answer in operation["responses"].values():
        for header in answer.get("headers", {}).values():
            assert "{" not in str(header["example"])


@every_operation
def test_a_parameter_says_what_it_means_and_shows_a_value_that_fits(operation, documents, version):
    for parameter in operation["parameters"]:
        assert parameter["description"]
        # In a query there is no null: what is not meant is left out. Commas part several values.
        assert parameter["schema"]["type"] in ("string", "integer", "boolean", "array")
        assert parameter["schema"]["type"] != "array" or parameter["explode"] is False
        schema = parameter["schema"]
        shown = [*schema.get("examples", ()), *schema.get("enum", ())]
        shown += [parameter["example"]] if "example" in parameter else []
        shown += [schema["default"]] if "default" in schema else []
        assert shown or parameter["name"] in OPAQUE, parameter["name"]
        for value in shown:
            validator(schema, documents[version]).validate(value)
        assert "example" in parameter or not parameter.get("required")


@every_operation
def test_bodies_have_examples_that_fit(operation, documents, version):
    document = documents[version]
    answers = [resolve_ref(answer, document) for answer in operation["responses"].values()]
    for body in (operation.get("requestBody", {}), *answers):
        for content in body.get("content", {}).values():
            shown = [named["value"] for named in content.get("examples", {}).values()]
            shown += [content["example"]] if "example" in content else []
            assert shown
            for value in shown:
                validator(content["schema"], document).validate(value)


@every_operation
def test_an_operation_lists_its_answers(operation, documents, version):
    status, answer = success(operation)
    assert ("content" in answer) == (status != "204")
    made = {"ETag", "Location"} if (version, status) == ("v2", "201") else set()
    assert {"X-Request-ID", *made} <= set(answer["headers"])
    assert {"400", "414", "431", "503"} <= set(operation["responses"])
    assert "default" not in operation["responses"]
    for status, response in operation["responses"].items():
        if status >= "400":
            assert (
                "application/problem+json" in resolve_ref(response, documents[version])["content"]
            )


@every_operation
def test_a_change_needs_a_tag(operation, version):
    is_conditional = operation["operationId"] not in UNCONDITIONAL
    changing = version == "v2" and operation["method"] in ("patch", "delete") and is_conditional
    assert changing == ({"404", "412", "428"} <= set(operation["responses"]))
    assert changing == ("If-Match" in request_of(operation)["headers"])


@every_operation
def test_the_examples_can_be_executed(with_sample_data, operation):
    bodies = [
        {"data": json.dumps(content["example"]), "content_type": media_type}
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    for body in bodies or [{}]:
        answer = with_sample_data.open(**request_of(operation), **body)
        status, documented = success(operation)
        assert answer.status == f"{status} {answer.status[4:]}", answer.get_data(as_text=True)
        assert set(documented["headers"]) - SOMETIMES <= set(answer.headers.keys())


@pytest.mark.parametrize("name", [name for name in OPERATIONS["v2"] if name.startswith("get")])
@pytest.mark.parametrize("version", ["v2"])
def test_each_optional_parameter_can_be_tried(with_sample_data, operation):
    """Each alone: together they might find nothing."""
    for parameter in operation["parameters"]:
        for value in parameter["schema"].get("examples", ()):
            answer = with_sample_data.open(**request_of(operation, {parameter["name"]: value}))
            assert answer.status_code == 200, answer.get_data(as_text=True)
            assert answer.json, parameter["name"]


def test_a_refused_media_type_tells_in_documented_headers_what_is_taken(client, documents):
    documented = documents["v2"]["components"]["responses"]["UnsupportedMediaType"]["headers"]
    url = client.post("/api/v2/ingredients", json={"name": "Mandrake"}).location
    for name, method, at in [
        ("Accept", "POST", "/api/v2/ingredients"),
        ("Accept-Patch", "PATCH", url),
    ]:
        answer = client.open(at, method=method, data="x", headers={"If-Match": "*"})
        assert answer.status_code == 415
        assert answer.headers[name] == documented[name]["example"]


@every_version
def test_problems_are_shown_with_their_answers(documents, version):
    for response in documents[version]["components"]["responses"].values():
        for code, example in response["content"]["application/problem+json"]["examples"].items():
            assert example["value"]["code"] == code
            assert example["value"]["status"] == PROBLEM_TYPES[code].status
            assert example["description"] == PROBLEM_TYPES[code].description
