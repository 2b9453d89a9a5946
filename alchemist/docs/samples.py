"""Example values, made from a schema of an OpenAPI document and the examples of its fields."""

from typing import Any

Json = dict[str, Any]


def resolved(part: Json, document: Json) -> Json:
    """Return what `part` refers to, or `part` itself if it is no reference."""
    if "$ref" not in part:
        return part
    found = document
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def sample(schema: Json, document: Json) -> Any:
    """Return a value that fits: the first example, or one made of the examples within.

    A list gets a member of each form that its members may have.
    """
    found = resolved(schema, document)
    if "examples" in found:
        return found["examples"][0]
    if "properties" in found:
        return {name: sample(field, document) for name, field in found["properties"].items()}
    if "items" in found:
        forms = found["items"].get("anyOf", [found["items"]])
        return [sample(form, document) for form in forms]
    return None
