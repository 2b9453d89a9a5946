"""The OpenAPI document of a version: what flask-smorest generates, plus what can be derived."""

import json
from collections.abc import Iterator
from typing import Any

from alchemist import v1
from alchemist.api import Api, openapi

from . import (
    creation_links,
    dry_runs,
    expansions,
    head_operations,
    path_parameters,
    position_header,
    problem_responses,
    shared_headers,
    text_lists,
)
from .example_values import Json, example_value, resolve_ref
from .guides import GUIDES

SCHEMA_REF = "#/components/schemas/"
PROBLEM_SCHEMAS = {"Problem", "ErrorDetail"}
BEARER: Json = {"bearer": []}
AUTH_RESPONSES = {
    str(status): {"$ref": f"#/components/responses/{openapi.response_component_name(status)}"}
    for status in (401, 403)
}
DEPRECATION_HEADERS = {
    "Deprecation": openapi.header_object(
        "Since when the operation is deprecated (RFC 9745).", v1.DEPRECATION_DATE
    ),
    "Link": openapi.header_object(
        "The operation that replaces it.", '</api/v2/potions>; rel="successor-version"'
    ),
}


def to_json_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def build_document(api: Api, v1_sunset: str | None) -> Json:
    """Return the document of a version, with guide, security, examples and links."""
    document: Json = json.loads(json.dumps(api.spec.to_dict()))
    guide = GUIDES[api.version].replace("PUBLIC_RESOURCES", _public_resources(document))
    document["info"]["description"] = f"{api.description}\n\n{guide}"
    for path in document["paths"]:
        path_parameters.move_to_operations(path, document)
    for path, operation in _operations(document):
        _document_permission_and_auth_errors(operation)
        problem_responses.add_error_responses(operation, document)
        _add_body_examples(operation, document)
        text_lists.move_text_formats_to_extension(operation)
        _add_header_examples(path, operation)
        creation_links.add_links(path, operation, document)
    problem_responses.share_problem_examples(document)
    _require_all_fields_and_drop_limits(document)
    _drop_read_only_marks(document)
    _add_deprecation_headers(document, v1_sunset)
    _remove_version_from_tags(document, f"{api.version}-")
    if api.version == "v2":
        position_header.document_position_header(document)
    shared_headers.share_headers(document)
    if api.version != "v1":
        dry_runs.document_dry_runs(document)
        expansions.document_expanded_members(document)
    head_operations.document_head_operations(document)
    return document


def _operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, path_item in document["paths"].items():
        for operation in path_item.values():
            yield path, operation


def _public_resources(document: Json) -> str:
    """Return the names of the lists that everybody may read: `potions, heroes and stores`."""
    names = [
        path.rpartition("/")[2]
        for path, path_item in document["paths"].items()
        if "{" not in path and path_item.get("get", {}).get("x-permission", "") is None
    ]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _document_permission_and_auth_errors(operation: Json) -> None:
    """Document the permission and its errors; an invalid token is an error everywhere.

    The description begins with the summary: some clients show only one of them.
    """
    permission = operation["x-permission"]
    sentence = f"Needs the permission `{permission}`." if permission else "Public."
    texts = [f"{operation['summary']}.", operation.get("description"), sentence]
    operation["description"] = "\n\n".join(filter(None, texts))
    operation["security"] = [BEARER] if permission else []
    statuses = ["401", "403"] if permission else ["401"]
    responses = operation["responses"] | {status: AUTH_RESPONSES[status] for status in statuses}
    operation["responses"] = dict(sorted(responses.items()))


def _add_body_examples(operation: Json, document: Json) -> None:
    """Give every body an example, made of those of its fields.

    An update uses the last example of each field, so that it can be executed after a creation
    that used the first one of a unique field. A batch has two rows, of the examples between them.
    """
    bodies = list(operation.get("requestBody", {}).get("content", {}).values())
    is_update = any(body["schema"].get("$ref", "").endswith("Update") for body in bodies)
    is_batch = any(body["schema"].get("type") == "array" for body in bodies)

    def example_of(schema: Json, **options: bool) -> Any:
        if is_batch:
            return [example_value(schema["items"], document, n, **options) for n in (1, 2)]
        return example_value(schema, document, -1 if is_update else 0, **options)

    for body in bodies:
        body["example"] = example_of(body["schema"], with_read_only=False)
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values() if status < "400" else ():
            changed_members = content.get("example", {})
            example = example_of(content["schema"])
            content["example"] = example | changed_members if changed_members else example


def _add_header_examples(path: str, operation: Json) -> None:
    """Give the headers that contain the path an example."""
    path = path.format(
        **{p["name"]: p["example"] for p in operation["parameters"] if p["in"] == "path"}
    )
    for response in operation["responses"].values():
        headers = response.get("headers", {})
        if "Link" in headers and not headers["Link"]["example"]:
            url = f"http://127.0.0.1:8000{path}?limit=2"
            headers["Link"]["example"] = (
                f'<{url}>; rel="first", <{url}&cursor=WyI1YzE4Il0>; rel="next"'
            )
        if "Location" in headers:
            pk = response["content"]["application/json"]["example"]["pk"]
            headers["Location"]["example"] = f"{path}/{pk}"


def _require_all_fields_and_drop_limits(document: Json) -> None:
    """Mark every field of a response as required, and allow fields of later versions."""
    responses = [operation["responses"] for _, operation in _operations(document)]
    for name in set(_referenced_schema_names(responses, document)) - PROBLEM_SCHEMAS:
        schema = document["components"]["schemas"][name]
        schema["required"] = list(schema["properties"])
        schema.pop("additionalProperties", None)
        _drop_upper_bounds(schema)


def _drop_read_only_marks(document: Json) -> None:
    """Drop `readOnly`: no component is both in requests and in responses.

    Some generators leave read-only fields out of the types of responses.
    """
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            field.pop("readOnly", None)


def _drop_upper_bounds(schema: Json) -> None:
    """Drop the limits that hold for requests: v1 stores longer lists and larger counts than v2."""
    for field in schema["properties"].values():
        for name in ("maxItems", "maximum"):
            field.pop(name, None)


def _referenced_schema_names(node: Any, document: Json) -> Iterator[str]:
    """Yield the names of the schemas to which a node refers, directly or through other schemas."""
    if isinstance(node, list):
        for item in node:
            yield from _referenced_schema_names(item, document)
    elif isinstance(node, dict):
        if (ref := str(node.get("$ref", ""))).startswith(SCHEMA_REF):
            yield ref.removeprefix(SCHEMA_REF)
            yield from _referenced_schema_names(resolve_ref(node, document), document)
        yield from _referenced_schema_names(list(node.values()), document)


def _add_deprecation_headers(document: Json, sunset: str | None) -> None:
    """Document the headers of a deprecated version in all of its responses."""
    operations = [operation for _, operation in _operations(document)]
    if not all(operation.get("deprecated") for operation in operations):
        return
    responses = [
        response for operation in operations for response in operation["responses"].values()
    ]
    headers = dict(DEPRECATION_HEADERS)
    if sunset:
        headers["Sunset"] = openapi.header_object("When the operation ends (RFC 8594).", sunset)
    for response in (*responses, *document["components"]["responses"].values()):
        if "$ref" not in response:
            response["headers"] |= headers


def _remove_version_from_tags(document: Json, prefix: str) -> None:
    """Remove the version from tags; only blueprint names need it."""
    for tag in document["tags"]:
        tag["name"] = tag["name"].removeprefix(prefix)
    for _, operation in _operations(document):
        operation["tags"] = [tag.removeprefix(prefix) for tag in operation["tags"]]


def readable_paths_without_parameters(document: Json) -> list[str]:
    """Return the paths that GET can read without any required parameter."""
    return [
        path
        for path, path_item in document["paths"].items()
        if "get" in path_item and not any(p.get("required") for p in path_item["get"]["parameters"])
    ]
