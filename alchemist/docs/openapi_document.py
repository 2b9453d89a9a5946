"""The OpenAPI document of a version: what flask-smorest generates, plus what can be derived."""

import json
import re
from collections.abc import Iterator
from typing import Any

from alchemist import v1
from alchemist.api import Api, openapi

from . import (
    dry_runs,
    expansions,
    head_operations,
    position_header,
    problem_responses,
    shared_headers,
    text_lists,
)
from .example_values import Json, example_value, resolve_ref
from .guides import GUIDES

PARAMETER_PATTERN = re.compile(r"\{\w+\}")
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


def serialize(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def build_document(api: Api, v1_sunset: str | None) -> Json:
    """Return the document of a version, with guide, security, examples and links."""
    document: Json = json.loads(json.dumps(api.spec.to_dict()))
    document["info"]["description"] = f"{api.description}\n\n{GUIDES[api.version]}"
    for path in document["paths"]:
        _move_path_parameters(path, document)
    for path, operation in _operations(document):
        _add_security(operation)
        problem_responses.add_error_responses(operation, document)
        _add_body_examples(operation, document)
        text_lists.move_to_extension(operation)
        _add_header_examples(path, operation)
        _add_links(path, operation, document)
    problem_responses.share_examples(document)
    _adapt_response_schemas(document)
    _drop_read_only(document)
    _add_deprecation_headers(document, v1_sunset)
    _shorten_tags(document, f"{api.version}-")
    if api.version == "v2":
        position_header.add(document)
    shared_headers.share_headers(document)
    if api.version != "v1":
        dry_runs.add(document)
        expansions.add(document)
    head_operations.add(document)
    return document


def _operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, path_item in document["paths"].items():
        for operation in path_item.values():
            yield path, operation


def _move_path_parameters(path: str, document: Json) -> None:
    """Move the parameters of a path into its operations, with a description and an example."""
    path_item = document["paths"][path]
    path_parameters = path_item.pop("parameters", [])
    for parameter in path_parameters:
        field = _response_field_of_parameter(path, parameter["name"], document)
        parameter.setdefault("description", field.get("description"))
        parameter.setdefault("example", example_value(field, document))
    for operation in path_item.values():
        by_name = {parameter["name"]: parameter for parameter in operation.get("parameters", [])}
        in_path = [parameter | by_name.pop(parameter["name"], {}) for parameter in path_parameters]
        for parameter in by_name.values():
            example = example_value(parameter["schema"], document)
            if parameter.get("required") and example is not None:
                parameter.setdefault("example", example)
        operation["parameters"] = [*in_path, *by_name.values()]


def _response_field_of_parameter(path: str, name: str, document: Json) -> Json:
    """Return the response field whose value a path parameter takes.

    Candidates, in this order: the field of the same name in what GET returns for the whole path,
    and in what it returns for the path up to the parameter; there also `pk`, or else the first
    read-only field.
    """
    prefix, parameter, _ = path.partition(f"{{{name}}}")
    fields = _response_fields(path, document)
    parent_fields = _response_fields(prefix + parameter, document)
    read_only = (field for field in parent_fields.values() if field.get("readOnly"))
    field: Json = (
        fields.get(name)
        or parent_fields.get(name)
        or parent_fields.get("pk")
        or next(read_only, {})
    )
    return field


def _response_fields(path: str, document: Json) -> Json:
    """Return the fields of what GET returns for a path, whatever its parameters are called."""
    by_shape = {PARAMETER_PATTERN.sub("{}", key): item for key, item in document["paths"].items()}
    operation = by_shape[PARAMETER_PATTERN.sub("{}", path)].get("get")
    if operation is None:
        return {}
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    fields: Json = resolve_ref(schema.get("items", schema), document)["properties"]
    return fields


def _add_security(operation: Json) -> None:
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


def _add_links(path: str, operation: Json, document: Json) -> None:
    """Link a creation to the operations on the new row."""
    created = operation["responses"].get("201", {})
    if "Location" not in created.get("headers", {}):
        return
    row_pattern = re.compile(rf"{re.escape(path)}/{{\w+}}")
    row_path = next(key for key in document["paths"] if row_pattern.fullmatch(key))
    created["links"] = {
        target["operationId"]: {
            "operationId": target["operationId"],
            "parameters": dict(_link_parameters(target, row_path)),
        }
        for target in document["paths"][row_path].values()
    }


def _link_parameters(target: Json, row_path: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters of the target whose values the creation has."""
    for parameter in target["parameters"]:
        name = parameter["name"]
        if row_path.endswith(f"{{{name}}}"):
            yield name, "$response.body#/pk"
        elif parameter["in"] == "path":
            yield name, f"$request.path.{name}"
        elif name == "If-Match":
            yield name, "$response.header.ETag"


def _adapt_response_schemas(document: Json) -> None:
    """Mark every field of a response as required, and allow fields of later versions."""
    responses = [operation["responses"] for _, operation in _operations(document)]
    for name in set(_referenced_schemas(responses, document)) - PROBLEM_SCHEMAS:
        schema = document["components"]["schemas"][name]
        schema["required"] = list(schema["properties"])
        schema.pop("additionalProperties", None)
        _drop_upper_bounds(schema)


def _drop_read_only(document: Json) -> None:
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


def _referenced_schemas(node: Any, document: Json) -> Iterator[str]:
    """Yield the names of the schemas to which a node refers, directly or through other schemas."""
    if isinstance(node, list):
        for item in node:
            yield from _referenced_schemas(item, document)
    elif isinstance(node, dict):
        if (ref := str(node.get("$ref", ""))).startswith(SCHEMA_REF):
            yield ref.removeprefix(SCHEMA_REF)
            yield from _referenced_schemas(resolve_ref(node, document), document)
        yield from _referenced_schemas(list(node.values()), document)


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


def _shorten_tags(document: Json, prefix: str) -> None:
    """Remove the version from tags; only blueprint names need it."""
    for tag in document["tags"]:
        tag["name"] = tag["name"].removeprefix(prefix)
    for _, operation in _operations(document):
        operation["tags"] = [tag.removeprefix(prefix) for tag in operation["tags"]]


def paths_without_parameters(document: Json) -> list[str]:
    """Return the paths that GET can read without any required parameter."""
    return [
        path
        for path, path_item in document["paths"].items()
        if "get" in path_item and not any(p.get("required") for p in path_item["get"]["parameters"])
    ]
