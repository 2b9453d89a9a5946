"""Headers that several responses have: components, so that the document has each of them once."""

import json
from collections import Counter
from collections.abc import Iterator

from .example_values import Json


def share_headers(document: Json) -> None:
    """Replace each header object that occurs more than once by a reference to a component."""
    components = document["components"].setdefault("headers", {})
    counts = Counter(
        (name, json.dumps(header))
        for headers in _header_maps(document)
        for name, header in headers.items()
    )
    for (name, text), count in counts.most_common():
        if count > 1 and name not in components:
            components[name] = json.loads(text)
    for headers in _header_maps(document):
        for name, header in headers.items():
            if header == components.get(name):
                headers[name] = {"$ref": f"#/components/headers/{name}"}


def _header_maps(document: Json) -> Iterator[Json]:
    responses = [
        *document["components"]["responses"].values(),
        *(
            response
            for path_item in document["paths"].values()
            for operation in path_item.values()
            for response in operation["responses"].values()
        ),
    ]
    return (response["headers"] for response in responses if "headers" in response)
