"""What client generators, agents and validators need of the OpenAPI documents."""

import json
import re

import pytest

from alchemist.docs.example_values import resolve_ref
from alchemist.errors import PROBLEM_TYPES

from .documents import every_operation, every_version, objects, operations, success_response

# Look-around, back-references, possessive quantifiers, and escapes that not every engine has.
NOT_PORTABLE = re.compile(r"\(\?|\\[1-9]|[*+?}]\+|\\x[89a-f]|\\[pPzZAGkKRX]")


def request_schemas(document):
    names = ("requestBody", "parameters")
    parts = [operation.get(name) for *_, operation in operations(document) for name in names]
    return referenced(parts, document)


def response_schemas(document):
    return referenced([operation["responses"] for *_, operation in operations(document)], document)


def referenced(node, document):
    """Return the names of the schemas to which a node refers, directly or indirectly."""
    found, pending = set(), [node]
    while pending:
        for name in re.findall(r'#/components/schemas/(\w+)"', json.dumps(pending.pop())):
            if name not in found:
                found.add(name)
                pending.append(document["components"]["schemas"][name])
    return found


def operation_by_id(document, operation_id):
    return next(o for *_, o in operations(document) if o["operationId"] == operation_id)


def problem_codes(operation, status):
    [content] = operation["responses"][str(status)]["content"].values()
    return set(content["examples"])


@every_version
def test_no_number_has_the_format_decimal(documents, version):
    assert '"format": "decimal"' not in json.dumps(documents[version])


@every_version
def test_no_schema_has_the_name_of_a_constructor(documents, version):
    names = documents[version]["components"]["schemas"]
    assert [name for name in names if re.match("New[A-Z]", name)] == []


@every_version
def test_a_body_has_one_media_type(documents, version):
    for *_, operation in operations(documents[version]):
        if "requestBody" in operation:
            assert list(operation["requestBody"]["content"]) == ["application/json"]


def test_the_body_of_a_patch_mentions_the_merge_patch(documents):
    body = operation_by_id(documents["v2"], "updatePotion")["requestBody"]
    assert "`application/merge-patch+json`" in body["description"]


@every_version
def test_every_engine_can_read_the_patterns(documents, version):
    patterns = [
        n["pattern"]
        for n in objects(documents[version])
        if isinstance(n, dict)
        if isinstance(n.get("pattern"), str)
    ]
    assert patterns
    assert [pattern for pattern in patterns if NOT_PORTABLE.search(pattern)] == []


@pytest.mark.parametrize(
    "query", ["sort=-name,pk&ingredient={}", "sort=-name&sort=pk&ingredient={}"]
)
def test_a_list_parameter_is_separated_by_commas_or_repeated(client, query):
    row = client.post("/api/v2/ingredients", json={"name": "Mandrake"}).json
    assert client.get(f"/api/v2/potions?{query.format(row['pk'])}").status_code == 200


def test_a_list_parameter_documents_both_of_its_forms(documents):
    parameters = operation_by_id(documents["v2"], "listPotions")["parameters"]
    lists = [p for p in parameters if p["schema"].get("type") == "array"]
    assert {p["name"] for p in lists} == {
        *("pk", "sort", "ingredient", "brewable_with", "fields"),
    }
    for parameter in lists:
        assert (parameter["style"], parameter["explode"]) == ("form", False)
        assert "Separated by commas, or the parameter is repeated." in parameter["description"]


@every_version
def test_alternatives_exclude_each_other(documents, version):
    assert '"anyOf"' not in json.dumps(documents[version])


@every_operation
def test_a_description_begins_with_the_summary(operation):
    assert operation["description"].startswith(f"{operation['summary']}.")


def test_the_cursor_says_where_it_comes_from(documents):
    parameters = operation_by_id(documents["v2"], "listPotions")["parameters"]
    [cursor] = [p for p in parameters if p["name"] == "cursor"]
    assert "`Link`" in cursor["description"]
    assert 'rel="next"' in cursor["description"]


def test_a_patch_documents_every_field_of_its_response(documents):
    """So that a client may send back what it has received."""
    document = documents["v2"]
    for *_, operation in operations(document):
        if operation["operationId"].startswith("update"):
            body = operation["requestBody"]["content"]["application/json"]["schema"]
            row = success_response(operation)[1]["content"]["application/json"]["schema"]
            fields = resolve_ref(body, document)["properties"]
            # What `expand` adds is not required, and not the client's to change.
            assert list(fields) == resolve_ref(row, document)["required"]
            assert "Read-only: accepted if it is unchanged." in fields["pk"]["description"]


@every_version
def test_no_schema_is_read_only(documents, version):
    assert '"readOnly"' not in json.dumps(documents[version])


@every_version
def test_enumerations_of_requests_are_components(documents, version):
    document = documents[version]
    for node in objects(document["paths"]):
        assert "enum" not in node or node.get("const") or version == "v1"
    for schema in document["components"]["schemas"].values():
        for field in objects(schema.get("properties", {})):
            assert "enum" not in field


@every_version
def test_enumerations_of_responses_are_open(documents, version):
    document = documents[version]
    for name in response_schemas(document):
        assert '"enum"' not in json.dumps(document["components"]["schemas"][name])


def test_the_values_of_an_open_enumeration_are_listed(documents):
    schemas = documents["v2"]["components"]["schemas"]
    assert schemas["Hero"]["properties"]["role"]["x-extensible-enum"] == schemas["HeroRole"]["enum"]


def test_problems_have_the_members_that_their_descriptions_promise(documents):
    schemas = documents["v2"]["components"]["schemas"]
    assert {"current", "allowed_transitions", "errors"} <= schemas["Problem"]["properties"].keys()
    members = {"requested", "available", "totals", "permission", "pointer"}
    assert members <= schemas["ErrorDetail"]["properties"].keys()


@pytest.mark.parametrize(
    ("code", "members"),
    [
        ("out-of-stock", {"requested", "available"}),
        ("price-changed", {"totals"}),
        ("wrong-status", {"allowed_transitions"}),
        ("forbidden", {"permission"}),
        ("precondition-failed", {"current"}),
    ],
)
def test_examples_of_problems_have_the_members_that_their_descriptions_promise(
    client, code, members
):
    example = client.get(f"/problems/{code}").json["example"]
    assert members <= {name for node in objects(example) for name in node}


def test_an_operation_lists_the_problems_that_it_can_answer(documents):
    document = documents["v2"]
    assert problem_codes(operation_by_id(document, "listIngredients"), 400) == {
        "bad-request",
        "invalid-cursor",
        "malformed-request",
    }
    assert problem_codes(operation_by_id(document, "payOrder"), 409) == {
        "order-expired",
        "request-in-progress",
        "wrong-status",
    }
    assert problem_codes(operation_by_id(document, "deletePotion"), 409) == {"in-use"}
    assert problem_codes(operation_by_id(document, "createIngredient"), 409) == {
        "already-exists",
        "request-in-progress",
    }
    assert "409" not in operation_by_id(document, "getIngredient")["responses"]
    assert problem_codes(operation_by_id(document, "getPotion"), 422) == {
        *("invalid", "duplicate", "not-one-of"),
        "repeated-parameter",
        "unknown-parameter",
    }


@every_operation
def test_the_problems_of_a_response_have_its_status(operation):
    """Two codes have other statuses in version 1."""
    other_status = {("400", "unknown-reference"), ("409", "mixed-currencies")}
    for status in {"400", "409", "422"} & operation["responses"].keys():
        for code in problem_codes(operation, status):
            assert str(PROBLEM_TYPES[code].status) == status or (status, code) in other_status


HEEDING = {"restockProduct", "anonymiseUser", "payOrder", "fulfilOrder", "cancelOrder"}


@pytest.mark.parametrize("operation_id", sorted(HEEDING | {"deleteToken"}))
def test_an_operation_that_heeds_if_match_documents_it(documents, operation_id):
    parameters = operation_by_id(documents["v2"], operation_id)["parameters"]
    [if_match] = [p for p in parameters if p.get("name") == "If-Match"]
    assert if_match["required"] is False


@every_operation
def test_no_etag_is_prefilled(operation):
    for parameter in operation["parameters"]:
        if parameter["name"] == "If-Match":
            assert not {"example", "examples", "default"} & (parameter | parameter["schema"]).keys()


@every_operation
def test_a_header_says_whether_every_response_has_it(operation, documents, version):
    for response in operation["responses"].values():
        headers = resolve_ref(response, documents[version]).get("headers", {})
        for name, header in headers.items():
            required = resolve_ref(header, documents[version])["required"]
            assert required or name not in ("X-Request-ID", "ETag", "Link")


@every_version
def test_every_get_has_a_head_with_its_parameters_and_without_content(documents, version):
    for path_item in documents[version]["paths"].values():
        assert ("get" in path_item) == ("head" in path_item)
        if "get" in path_item:
            get, head = path_item["get"], path_item["head"]
            assert head["parameters"] == get["parameters"]
            assert head["responses"].keys() == get["responses"].keys()
            assert not any("content" in response for response in head["responses"].values())


@every_version
def test_operation_ids_of_head_are_unique(documents, version):
    ids = [o["operationId"] for item in documents[version]["paths"].values() for o in item.values()]
    assert len(ids) == len(set(ids))


def test_bearer_tokens_have_a_format(documents):
    scheme = documents["v2"]["components"]["securitySchemes"]["bearer"]
    assert scheme["bearerFormat"].startswith("alc_")


@pytest.mark.parametrize(
    ("operation_id", "status"),
    [("payOrder", "paid"), ("fulfilOrder", "fulfilled"), ("cancelOrder", "cancelled")],
)
def test_the_example_of_a_transition_is_the_order_after_it(documents, operation_id, status):
    [content] = success_response(operation_by_id(documents["v2"], operation_id))[1][
        "content"
    ].values()
    assert content["example"]["status"] == status


def test_the_example_of_an_update_is_the_changed_row(documents):
    update = operation_by_id(documents["v2"], "updateUser")
    body = update["requestBody"]["content"]["application/json"]["example"]
    [content] = success_response(update)[1]["content"].values()
    assert body.items() <= content["example"].items()
