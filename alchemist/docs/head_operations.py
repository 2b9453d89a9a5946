"""HEAD operations (RFC 9110 §9.3.2): each is its GET without the body."""

import re

from alchemist import errors

from .example_values import Json

GET_OPERATION_ID = re.compile(r"^(v1)?(get|list)", re.IGNORECASE)


def document_head_operations(document: Json) -> None:
    """Document a HEAD operation beside each GET."""
    for path_item in document["paths"].values():
        if "get" in path_item:
            path_item["head"] = _to_head_operation(path_item["get"])


def _to_head_operation(get: Json) -> Json:
    copied = ("tags", "parameters", "security", "x-permission", "deprecated")
    summary = f"{get['summary']}: only the headers"
    return {
        **{name: get[name] for name in copied if name in get},
        "operationId": GET_OPERATION_ID.sub(_head_prefix, get["operationId"]),
        "summary": summary,
        "description": f"{summary}.\n\nThe response is that of GET, without its body.",
        "responses": {
            status: _without_content(status, response)
            for status, response in get["responses"].items()
        },
    }


def _head_prefix(match: re.Match[str]) -> str:
    return "v1Head" if match[1] else "head"


def _without_content(status: str, response: Json) -> Json:
    description = response.get("description", f"{errors.status_phrase(int(status))}.")
    headers = {"headers": response["headers"]} if "headers" in response else {}
    return {"description": description, **headers}
