"""Documents `Alchemist-Position`, by which reads from standbys see earlier writes."""

from alchemist.api import openapi

from .example_values import Json

NAME = "Alchemist-Position"
EXAMPLE = "1-16/B374D848"
HEADER = openapi.header_object(
    "Only if standbys are read by position: send it with later reads that must see this write.",
    EXAMPLE,
    required=False,
)
PARAMETER = {
    "in": "header",
    "name": NAME,
    "description": "The `Alchemist-Position` of a write that this read must see.",
    "schema": {
        "type": "string",
        "pattern": "^[0-9]{1,10}-[0-9A-F]{1,8}/[0-9A-F]{1,8}$",
        "examples": [EXAMPLE],
    },
}


def document_position_header(document: Json) -> None:
    """Add the parameter to each read, and the header to each successful response of a write."""
    for path_item in document["paths"].values():
        for method, operation in path_item.items():
            if method == "get":
                operation["parameters"].append(PARAMETER)
                continue
            for status, response in operation["responses"].items():
                if status < "400":
                    response["headers"][NAME] = HEADER
