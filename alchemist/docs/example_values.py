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


def example_value(
    schema: Json, document: Json, index: int = 0, *, with_read_only: bool = True
) -> Any:
    """Return a value that is valid for the schema, or None if it has no examples.

    `index` chooses among several examples of a field. An array gets one item for each alternative
    (`oneOf`) of its items; elsewhere the first alternative is used.
    """

    def value_of(part: Json) -> Any:
        return example_value(part, document, index, with_read_only=with_read_only)

    # Members beside a `$ref` go first.
    schema = schema if "examples" in schema else resolve_ref(schema, document)
    if "examples" in schema:
        # Most fields have the same example everywhere.
        return schema["examples"][min(index, len(schema["examples"]) - 1)]
    if "properties" in schema:
        return {
            name: value_of(field)
            for name, field in schema["properties"].items()
            if with_read_only or not field.get("readOnly")
        }
    if "items" in schema:
        return [value_of(part) for part in schema["items"].get("oneOf", [schema["items"]])]
    return value_of(schema["oneOf"][0]) if "oneOf" in schema else None
