"""The error responses of an operation: one for each status, with the codes that it can have."""

from collections import defaultdict
from typing import Any

from alchemist.api import openapi
from alchemist.errors import PROBLEM_TYPES

from .example_values import Json

# Of every operation, beside those that it declares.
GENERAL_CODES = ((400, "bad-request"), (400, "malformed-request"))
# The statuses whose codes depend on the operation. The other responses are shared by all of them.
SPECIFIC_STATUSES = (400, 409, 422)
PROBLEM: Json = {"$ref": "#/components/schemas/Problem"}


def add_error_responses(operation: Json, document: Json) -> None:
    """Replace `x-problem-codes` by error responses, whose examples are the codes."""
    codes: dict[int, set[str]] = defaultdict(set)
    for status, code in (*GENERAL_CODES, *operation.pop("x-problem-codes", ())):
        codes[status].add(code)
    for status in SPECIFIC_STATUSES:
        response = operation["responses"].pop(str(status), None)
        if codes[status]:
            name = openapi.response_component_name(status)
            shared = document["components"]["responses"].get(name, {})
            operation["responses"][str(status)] = _error_response(
                status, sorted(codes[status]), shared
            )
        elif response and "$ref" not in response:
            operation["responses"][str(status)] = response


def _error_response(status: int, codes: list[str], shared: Json) -> Json:
    headers = dict(shared["headers"])
    if status == 409 and "request-in-progress" not in codes:
        del headers["Retry-After"]
    return {
        "description": f"{PROBLEM_TYPES[codes[0]].status_phrase}: {_join_as_code(codes)}.",
        "headers": headers,
        "content": {
            "application/problem+json": {
                "schema": PROBLEM,
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }


def _join_as_code(codes: list[str]) -> str:
    return ", ".join(f"`{code}`" for code in codes)


def share_problem_examples(document: Json) -> None:
    """Add the examples that the operations refer to; remove the responses that they replace."""
    used: set[str] = set()
    for path_item in document["paths"].values():
        for operation in path_item.values():
            for status in operation["responses"].keys() & {str(s) for s in SPECIFIC_STATUSES}:
                used |= _example_codes(operation["responses"][status])
    document["components"]["examples"] = {code: _problem_example(code) for code in sorted(used)}
    for status in SPECIFIC_STATUSES:
        document["components"]["responses"].pop(openapi.response_component_name(status), None)


def _example_codes(response: Json) -> set[str]:
    [content] = response.get("content", {"": {}}).values()
    return set(content.get("examples", ()))


def _problem_example(code: str) -> dict[str, Any]:
    problem = PROBLEM_TYPES[code]
    return {"description": problem.description, "value": openapi.example_problem(problem)}
