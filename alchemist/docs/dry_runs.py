"""Dry runs: one parameter and one header that every operation that writes has."""

from alchemist.api import openapi

from .example_values import Json

WRITING_METHODS = ("post", "patch", "delete")
PARAMETER: Json = {
    "in": "query",
    "name": "dry_run",
    "description": "`true` checks and answers everything as usual, and then writes nothing. The "
    "answer has the header `Dry-Run: true` and no `Location`.",
    "schema": {"type": "boolean", "examples": [True]},
}
HEADER = openapi.header_object("Only of a dry run: nothing was written.", "true", required=False)


def document_dry_runs(document: Json) -> None:
    """Document the parameter and the header at each operation that writes."""
    components = document["components"]
    components.setdefault("parameters", {})["dry_run"] = PARAMETER
    components["headers"]["Dry-Run"] = HEADER
    for path_item in document["paths"].values():
        for method in path_item.keys() & set(WRITING_METHODS):
            operation = path_item[method]
            operation["parameters"].append({"$ref": "#/components/parameters/dry_run"})
            for status, response in operation["responses"].items():
                if status < "300":
                    response["headers"]["Dry-Run"] = {"$ref": "#/components/headers/Dry-Run"}
