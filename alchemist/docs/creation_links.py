"""Links from a creation to the operations on the new row (OpenAPI 3.1 §4.8.20)."""

import re
from collections.abc import Iterator

from .example_values import Json


def add_links(path: str, operation: Json, document: Json) -> None:
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
