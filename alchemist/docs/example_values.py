"""Example values for the schemas of an OpenAPI document, made from the examples of their fields."""

from typing import Any

Json = dict[str, Any]


def resolve_ref(node: Json, document: Json) -> Json:
    """Return the object that the `$ref` of `node` points to, or `node` if it has none."""
    if "$ref" not in node:
        return node
    target = document
    for name in node["$ref"].removeprefix("#/").split("/"):
        target = target[name]
    return target


def example_value(schema: Json, document: Json, index: int = 0) -> Any:
    """Return a value that is valid for the schema, or None if it has no examples.

    `index` chooses among several examples of a field. An array gets one item for each alternative
    (`anyOf`) of its items; elsewhere the first alternative is used.
    """
    schema = resolve_ref(schema, document)
    if "examples" in schema:
        return schema["examples"][index]
    if "properties" in schema:
        return {
            name: example_value(field, document, index)
            for name, field in schema["properties"].items()
        }
    if "items" in schema:
        alternatives = schema["items"].get("anyOf", [schema["items"]])
        return [example_value(alternative, document, index) for alternative in alternatives]
    if "anyOf" in schema:
        return example_value(schema["anyOf"][0], document, index)
    return None
