"""The OpenAPI document of a version: what flask-smorest wrote, and what follows from that."""

import json
import re
from collections.abc import Iterator
from typing import Any

from alchemist import v1
from alchemist.api import Api, openapi

from .example_values import Json, example_value, resolve_ref
from .guides import GUIDES

PARAMETER = re.compile(r"\{\w+\}")
SCHEMAS = "#/components/schemas/"
PROBLEMS = {"Problem", "ErrorDetail"}
TOKEN: Json = {"bearer": []}
AUTH_RESPONSES = {
    str(status): {"$ref": f"#/components/responses/{openapi.response_component_name(status)}"}
    for status in (401, 403)
}
DEPRECATION = {
    "Deprecation": openapi.header("Since when it has a successor (RFC 9745).", v1.DEPRECATION_DATE),
    "Link": openapi.header("What to use instead.", '</api/v2/potions>; rel="successor-version"'),
}


def serialized(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def build(api: Api) -> Json:
    """Return the document of a version with everything put in that can be derived from it."""
    found: Json = json.loads(json.dumps(api.spec.to_dict()))
    found["info"]["description"] = f"{api.description}\n\n{GUIDES[api.version]}"
    for path in found["paths"]:
        _place_parameters(path, found)
    for path, operation in _operations(found):
        _add_security(operation)
        _add_body_examples(operation, found)
        _add_header_examples(path, operation)
        _add_links(path, operation, found)
    _mark_all_required(found)
    _mark_deprecated(found)
    _shorten_tags(found, f"{api.version}-")
    return found


def _operations(found: Json) -> Iterator[tuple[str, Json]]:
    for path, item in found["paths"].items():
        for operation in item.values():
            yield path, operation


def _place_parameters(path: str, found: Json) -> None:
    """Move the parameters of a path to its operations, with what is known of their rows' keys."""
    item = found["paths"][path]
    shared = item.pop("parameters", [])
    for parameter in shared:
        key = _key(path, parameter["name"], found)
        parameter.setdefault("description", key.get("description"))
        parameter.setdefault("example", example_value(key, found))
    for operation in item.values():
        own = {parameter["name"]: parameter for parameter in operation.get("parameters", [])}
        in_path = [parameter | own.pop(parameter["name"], {}) for parameter in shared]
        for parameter in own.values():
            if parameter.get("required"):
                parameter.setdefault("example", example_value(parameter["schema"], found))
        operation["parameters"] = [*in_path, *own.values()]


def _key(path: str, name: str, found: Json) -> Json:
    """Return the field that holds what this parameter of a path says.

    It has the name of the parameter, in the rows of the path or in the row that a path ending in
    the parameter finds; or there it has the usual name, or it is what clients cannot write.
    """
    before, parameter, _ = path.partition(f"{{{name}}}")
    whole, fields = _fields(path, found), _fields(before + parameter, found)
    given = (field for field in fields.values() if field.get("readOnly"))
    key: Json = whole.get(name) or fields.get(name) or fields.get("pk") or next(given, {})
    return key


def _fields(path: str, found: Json) -> Json:
    """Return the fields of what can be read at a path, however its parameters are called."""
    shapes = {PARAMETER.sub("{}", other): item for other, item in found["paths"].items()}
    shown = shapes[PARAMETER.sub("{}", path)].get("get")
    if shown is None:
        return {}
    schema = shown["responses"]["200"]["content"]["application/json"]["schema"]
    fields: Json = resolve_ref(schema.get("items", schema), found)["properties"]
    return fields


def _add_security(operation: Json) -> None:
    """Say who may, and how those are refused who may not; a bad token is so everywhere."""
    permission = operation["x-permission"]
    told = f"Needs the permission `{permission}`." if permission else "Open to everybody."
    operation["description"] = "\n\n".join(filter(None, [operation.get("description"), told]))
    operation["security"] = [TOKEN] if permission else [{}, TOKEN]
    refused = {
        status: AUTH_RESPONSES[status] for status in (["401", "403"] if permission else ["401"])
    }
    operation["responses"] = dict(sorted((operation["responses"] | refused).items()))


def _add_body_examples(operation: Json, found: Json) -> None:
    """Give every body an example, made of those of its fields.

    A change shows the last of them, so that it can be tried after a creation where a value must be
    unique.
    """
    for content in operation.get("requestBody", {}).get("content", {}).values():
        is_change = content["schema"].get("$ref", "").endswith("Update")
        content["example"] = example_value(content["schema"], found, -1 if is_change else 0)
    for answer in operation["responses"].values():
        for content in answer.get("content", {}).values():
            content["example"] = example_value(content["schema"], found)


def _add_header_examples(path: str, operation: Json) -> None:
    """Put the path into the examples of the headers that hold one."""
    shown = {p["name"]: p["example"] for p in operation["parameters"] if p["in"] == "path"}
    path = path.format(**shown)
    for response in operation["responses"].values():
        headers = response.get("headers", {})
        if "Link" in headers:
            more = f'<{path}?limit=2>; rel="first", <{path}?limit=2&cursor=WyI1YzE4Il0>; rel="next"'
            headers["Link"]["example"] = more
        if "Location" in headers:
            key = response["content"]["application/json"]["example"]["pk"]
            headers["Location"]["example"] = f"{path}/{key}"


def _add_links(path: str, operation: Json, found: Json) -> None:
    """Say what can be done with a row that was made, and how to name it there."""
    made = operation["responses"].get("201", {})
    if "Location" not in made.get("headers", {}):
        return
    row = next(
        other for other in found["paths"] if re.fullmatch(rf"{re.escape(path)}/{{\w+}}", other)
    )
    made["links"] = {
        follower["operationId"]: {
            "operationId": follower["operationId"],
            "parameters": dict(_link_parameters(follower, row)),
        }
        for follower in found["paths"][row].values()
    }


def _link_parameters(follower: Json, row: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters of an operation that making the row has told."""
    for parameter in follower["parameters"]:
        name = parameter["name"]
        if row.endswith(f"{{{name}}}"):
            yield name, "$response.body#/pk"
        elif parameter["in"] == "path":
            yield name, f"$request.path.{name}"
        elif name == "If-Match":
            yield name, "$response.header.ETag"


def _mark_all_required(found: Json) -> None:
    """Say that every field of an answer is there, and leave room for those of the future."""
    answers = [operation["responses"] for _, operation in _operations(found)]
    for name in set(_schemas_in(answers, found)) - PROBLEMS:
        schema = found["components"]["schemas"][name]
        schema["required"] = list(schema["properties"])
        schema.pop("additionalProperties", None)


def _schemas_in(part: Any, found: Json) -> Iterator[str]:
    """Return the names of the schemas that `part` refers to, through others too."""
    if isinstance(part, list):
        for member in part:
            yield from _schemas_in(member, found)
    elif isinstance(part, dict):
        if (reference := str(part.get("$ref", ""))).startswith(SCHEMAS):
            yield reference.removeprefix(SCHEMAS)
            yield from _schemas_in(resolve_ref(part, found), found)
        yield from _schemas_in(list(part.values()), found)


def _mark_deprecated(found: Json) -> None:
    """Document the headers that tell that there is a newer version."""
    operations = [operation for _, operation in _operations(found)]
    if not all(operation.get("deprecated") for operation in operations):
        return
    own = [response for operation in operations for response in operation["responses"].values()]
    for response in (*own, *found["components"]["responses"].values()):
        if "$ref" not in response:
            response["headers"] |= DEPRECATION


def _shorten_tags(found: Json, prefix: str) -> None:
    """Drop the version from tags, which tells blueprints apart within the app."""
    for tag in found["tags"]:
        tag["name"] = tag["name"].removeprefix(prefix)
    for _, operation in _operations(found):
        operation["tags"] = [tag.removeprefix(prefix) for tag in operation["tags"]]


def paths_without_parameters(found: Json) -> list[str]:
    """Return the paths that can be read as they stand, without any parameter."""
    return [
        path
        for path, item in found["paths"].items()
        if "get" in item and not any(p.get("required") for p in item["get"]["parameters"])
    ]
