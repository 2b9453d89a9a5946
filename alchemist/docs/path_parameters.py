"""The parameters of paths: with a description and an example, at each operation."""

import re

from .example_values import Json, example_value, resolve_ref

PARAMETER_PATTERN = re.compile(r"\{\w+\}")


def move_to_operations(path: str, document: Json) -> None:
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
