"""The rows that `expand` adds to representations: members that no response must have."""

from collections.abc import Iterator

from alchemist.api.field_docs import component_name
from alchemist.api.fields import Schema

from .example_values import Json


def document_expanded_members(document: Json) -> None:
    """Document the member of each row that can be expanded, unless it is always there in short."""
    schemas = document["components"]["schemas"]
    for schema in set(_subclasses(Schema)):
        properties = schemas.get(component_name(schema), {}).get("properties", {})
        for member, expansion in schema.expandable.items():
            reference = {"$ref": f"#/components/schemas/{component_name(expansion.schema)}"}
            properties.setdefault(
                member,
                {
                    "description": f"The row of `{member}_id`, only if `expand` names it.",
                    "oneOf": [reference, {"type": "null"}],
                },
            )


def _subclasses(schema: type[Schema]) -> Iterator[type[Schema]]:
    for subclass in schema.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
