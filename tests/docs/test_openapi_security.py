"""What the OpenAPI documents say of permissions and tokens, and whether it is so."""

import json
import re

from alchemist.docs.example_values import resolve_ref
from tests.factories import bearer, make_user, sign_in

from .documents import (
    Json,
    every_operation,
    every_version,
    example_request,
    operations,
    validator,
)


@every_version
def test_the_only_security_scheme_is_a_bearer_token(documents, version):
    schemes = documents[version]["components"]["securitySchemes"]
    assert list(schemes) == ["bearer"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert "alc_" in schemes["bearer"]["bearerFormat"]
    assert schemes["bearer"]["description"]


@every_operation
def test_an_operation_documents_the_permission_of_its_view(app, operation):
    rule = re.sub(r"{(\w+)}", r"<(?:\\w+:)?\1>", operation["path"])
    [view] = {
        app.view_functions[url_rule.endpoint].view_class
        for url_rule in app.url_map.iter_rules()
        if re.fullmatch(rule, url_rule.rule)
    }
    permission = view.permissions[operation["method"]]
    assert operation["x-permission"] == permission
    assert operation["security"] == ([{"bearer": []}] if permission else [])
    assert (f"`{permission}`" if permission else "Public.") in operation["description"]


# They are public, and `expand` needs the permission to read users.
EXPANDING_USERS = {"listHeroes", "getHero", "listStores", "getStore"}


@every_operation
def test_an_operation_documents_the_errors_of_its_permission(operation, documents, version):
    responses = operation["responses"]
    is_restricted = operation["x-permission"] or operation["operationId"] in EXPANDING_USERS
    assert ("403" in responses) == bool(is_restricted)
    assert "WWW-Authenticate" in resolve_ref(responses["401"], documents[version])["headers"]


@every_operation
def test_an_operation_answers_those_errors(client_with_auth, operation, documents, version):
    """Without a token, with a token that lacks the permission, and with an invalid token."""
    permission = operation["x-permission"]

    def check(status: str, headers: dict[str, str]) -> Json:
        return assert_as_documented(
            client_with_auth, operation, documents[version], status, headers
        )

    if permission not in (None, "me:read"):
        check("401", {})
        error = check("403", sign_in(make_user(role="admin"), "me:read"))
        assert error["errors"][0]["permission"] == permission
    check("401", bearer("alc_none"))


def assert_as_documented(client, operation, document, status, headers) -> Json:
    request = example_request(operation)
    response = client.open(**request | {"headers": request["headers"] | headers})
    assert response.status_code == int(status)
    documented = resolve_ref(operation["responses"][status], document)
    assert set(documented["headers"]) <= set(response.headers.keys())
    schema = documented["content"]["application/problem+json"]["schema"]
    validator(schema, document).validate(response.json)
    return response.json


def test_the_user_of_me_may_be_null(documents):
    user = documents["v2"]["components"]["schemas"]["Me"]["properties"]["user"]
    assert {"type": "null"} in user["oneOf"]
    validator(user, documents["v2"]).validate(None)


def test_the_error_for_a_missing_permission_names_it(documents):
    components = documents["v2"]["components"]
    assert "permission" in components["schemas"]["ErrorDetail"]["properties"]
    content = components["responses"]["Forbidden"]["content"]["application/problem+json"]
    error = content["examples"]["forbidden"]["value"]
    assert error["errors"][0]["permission"] == "potions:write"


def test_only_the_creation_of_a_token_returns_its_secret(documents):
    document = documents["v2"]
    returning_secret = {
        operation["operationId"]
        for _, _, operation in operations(document)
        if "/TokenSecret" in json.dumps(operation["responses"])
    }
    assert returning_secret == {"createToken"}
    assert "token" not in document["components"]["schemas"]["Token"]["properties"]
    assert "token" in document["components"]["schemas"]["TokenSecret"]["properties"]
