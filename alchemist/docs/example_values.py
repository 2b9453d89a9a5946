"""Example values, made from a schema of an OpenAPI document and the examples of its fields."""

from typing import Any

Json = dict[str, Any]


def resolve_ref(part: Json, document: Json) -> Json:
    """Return what `part` refers to, or `part` itself if it is no reference."""
    if "$ref" not in part:
        return part
    found = document
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def example_value(schema: Json, document: Json, which: int = 0) -> Any:
    """Return a value that fits: an example, or one made of the examples within.

    Of several examples it is the first, or `which` says. A list gets a member of each form that its
    members may have; what may have several forms elsewhere gets the first.
    """
    found = resolve_ref(schema, document)
    if "examples" in found:
        return found["examples"][which]
    if "properties" in found:
        return {
            name: example_value(field, document, which)
            for name, field in found["properties"].items()
        }
    if "items" in found:
        forms = found["items"].get("anyOf", [found["items"]])
        return [example_value(form, document, which) for form in forms]
    if "anyOf" in found:
        return example_value(found["anyOf"][0], document, which)
    return None
