"""How schemas and fields are documented: functions that apispec calls for each of them."""

from typing import Any

from marshmallow import Schema, missing

from . import fields

COMMON_FIELD_DESCRIPTIONS = {
    "pk": "The primary key: a UUIDv7, so keys are in order of creation.",
    "created_at": "When the row was created.",
    "updated_at": "When the row was last changed.",
}


def component_name(schema: type[Schema] | Schema) -> str:
    """Return the component name of a schema: Potion, or PotionCreate and PotionUpdate in requests.

    They are different components because they require different fields. A schema without read-only
    fields has the name of its class.
    """
    instance = schema() if isinstance(schema, type) else schema
    name = type(instance).__name__.removesuffix("Schema")
    if instance.partial:
        return f"{name}Update"
    has_read_only = any(map(_is_read_only, type(instance)().fields.values()))
    return f"{name}Create" if instance.only is not None and has_read_only else name


def _is_read_only(field: Any) -> bool:
    return field.dump_only or "readOnly" in field.metadata


def _is_for_request(field: Any) -> bool:
    """Return whether the field is one of a request: of its body (`only` is set) or its query."""
    schema = field.root
    return schema.only is not None or type(schema).__name__.endswith("Query")


def describe_common_fields(self: Any, field: Any, ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Describe `pk`, `created_at` and `updated_at`."""
    description = COMMON_FIELD_DESCRIPTIONS.get(field.name) if field.dump_only else None
    return {"description": description} if description and "description" not in ret else {}


def document_shorthand(self: Any, field: Any, ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Document that in a request, a field also accepts its shorthand."""
    shorthand = getattr(field, "shorthand_schema", None)
    if shorthand is None or not _is_for_request(field):
        return {}
    full = dict(ret)
    ret.clear()
    return {"oneOf": [shorthand, full]}


def document_any_of_as_one_of(
    self: Any, field: Any, ret: dict[str, Any], **_: Any
) -> dict[str, Any]:
    """Document an object or null by `oneOf`: some generators take the first part of an `anyOf`."""
    return {"oneOf": ret.pop("anyOf")} if "anyOf" in ret else {}


def document_request_type(self: Any, field: Any, ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Document what a field accepts in a request, if that is more than it has in a response.

    A member of `request_schema` that is None is left out of the request's schema.
    """
    request_schema: dict[str, Any] = getattr(field, "request_schema", {})
    if not request_schema or not _is_for_request(field):
        return {}
    for name, value in request_schema.items():
        if value is None:
            ret.pop(name, None)
    return {name: value for name, value in request_schema.items() if value is not None}


def document_repeatable_read_only(
    self: Any, field: Any, ret: dict[str, Any], **_: Any
) -> dict[str, Any]:
    """Document that a request may repeat a read-only field."""
    if not _is_read_only(field) or not _is_for_request(field):
        return {}
    return {"description": f"{ret['description']} Read-only: accepted if it is unchanged."}


def document_enumeration_as_component(
    self: Any, field: Any, ret: dict[str, Any], **_: Any
) -> dict[str, Any]:
    """Make the enumeration of a request a component; that of a response is open.

    Later versions may add values to those of responses, and generated clients must accept them.
    """
    name = getattr(field, "enumeration", None)
    if name is None:
        return {}
    if "items" in ret:
        ret["items"] = dict(ret["items"])
    schema = ret.get("items", ret)
    values = [value for value in schema.pop("enum", ()) if value is not None]
    if not values:
        return {}
    if not _is_for_request(field):
        return {"x-extensible-enum": values}
    if name not in self.spec.components.schemas:
        enumeration = {"type": "string", "enum": values, "description": f"A value of `{name}`."}
        self.spec.components.schema(name, enumeration)
    del schema["type"]
    reference = self.spec.components.get_ref("schema", name)
    is_nullable = field.allow_none and "Query" not in type(field.root).__name__
    schema |= {"oneOf": [reference, {"type": "null"}]} if is_nullable else reference
    return {}


def document_dump_default(self: Any, field: Any, **_: Any) -> dict[str, Any]:
    """Document the default as a client writes it: `dump_default`, not `load_default`."""
    return {} if field.dump_default is missing else {"default": field.dump_default}


# The last one replaces what the others have added.
ATTRIBUTE_FUNCTIONS = (
    describe_common_fields,
    document_dump_default,
    document_shorthand,
    document_any_of_as_one_of,
    document_request_type,
    document_repeatable_read_only,
    document_enumeration_as_component,
)


def document_query_parameter(
    self: Any, field: Any, ret: dict[str, Any], **_: Any
) -> dict[str, Any]:
    """Document that a parameter is absent rather than null, and how it lists several values."""
    schema = ret["schema"]
    if field.allow_none and "type" in schema:
        schema["type"] = schema["type"][0]
    if schema.get("default", missing) is None:
        del schema["default"]
    if not isinstance(field, fields.QueryList):
        return {}
    description = f"{ret['description']} Separated by commas, or the parameter is repeated."
    return {"style": "form", "explode": False, "description": description}
