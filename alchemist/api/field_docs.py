"""How schemas and fields are documented: functions that apispec calls for each of them."""

from typing import Any

from marshmallow import Schema, missing

from . import fields

# The names of schemas that describe nothing but requests.
REQUEST_SUFFIXES = ("Create", "Update", "Query")
COMMON_FIELD_DESCRIPTIONS = {
    "pk": "The primary key: a UUIDv7, so keys are in order of creation.",
    "created_at": "When the row was created.",
    "updated_at": "When the row was last changed.",
}


def schema_name(schema: type[Schema] | Schema) -> str:
    """Return the component name of a schema: Potion, or PotionCreate and PotionUpdate in requests.

    They are different components because they require different fields.
    """
    instance = schema() if isinstance(schema, type) else schema
    name = type(instance).__name__.removesuffix("Schema")
    if instance.partial:
        return f"{name}Update"
    return f"{name}Create" if _is_for_request(instance) else name


def _is_for_request(schema: Any) -> bool:
    """Return whether the schema documents a request body: it excludes the read-only fields."""
    return bool(schema.exclude)


def describe_common_fields(self: Any, field: Any, ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Describe `pk`, `created_at` and `updated_at`."""
    description = COMMON_FIELD_DESCRIPTIONS.get(field.name) if field.dump_only else None
    return {"description": description} if description and "description" not in ret else {}


def document_shorthand(self: Any, field: Any, ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Document that in a request, a field also accepts its shorthand."""
    shorthand = getattr(field, "shorthand_schema", None)
    if shorthand is None or not _is_for_request(field.root):
        return {}
    full = dict(ret)
    ret.clear()
    return {"anyOf": [shorthand, full]}


def document_request_type(self: Any, field: Any, ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Document what a field accepts in a request, if that is more than it has in a response.

    A member of `request_schema` that is None is left out of the request's schema.
    """
    request_schema: dict[str, Any] = getattr(field, "request_schema", {})
    if not request_schema or not schema_name(field.root).endswith(REQUEST_SUFFIXES):
        return {}
    for name, value in request_schema.items():
        if value is None:
            ret.pop(name, None)
    return {name: value for name, value in request_schema.items() if value is not None}


def document_default(self: Any, field: Any, **_: Any) -> dict[str, Any]:
    """Document the default as a client writes it: `dump_default`, not `load_default`."""
    return {} if field.dump_default is missing else {"default": field.dump_default}


def document_query_parameter(
    self: Any, field: Any, ret: dict[str, Any], **_: Any
) -> dict[str, Any]:
    """Document that a parameter is absent rather than null, and how it lists several values."""
    schema = ret["schema"]
    if field.allow_none:
        schema["type"] = schema["type"][0]
    if schema.get("default", missing) is None:
        del schema["default"]
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    return {"style": "form", "explode": False} if isinstance(field, fields.QueryList) else {}
