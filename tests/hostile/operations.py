"""Operations as an OpenAPI document tells of them, each with the request that it shows."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema_rs

from alchemist.docs.example_values import Json, resolve_ref
from tests.hostile.exchange import Request

# Text that only a field without a form of its own takes.
FREE = "\u00c6ther '%' <\u2615>"
MEDIA_TYPE = "application/json"
_serial = count(1)


@dataclass(frozen=True)
class Operation:
    version: str
    method: str
    path: str
    about: Json
    document: Json

    @property
    def name(self) -> str:
        return str(self.about["operationId"])

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def schema(self) -> Json | None:
        """The schema of the body, None if the operation takes none."""
        content = self.about.get("requestBody", {}).get("content", {}).get(MEDIA_TYPE)
        return resolve_ref(content["schema"], self.document) if content else None

    def parameters(self, place: str) -> list[Json]:
        parameters = (resolve_ref(each, self.document) for each in self.about["parameters"])
        return [known for known in parameters if known["in"] == place]

    def part(self, schema: Json) -> Json:
        return resolve_ref(schema, self.document)

    def validator(self) -> jsonschema_rs.Draft202012Validator:
        rooted = {**(self.schema or {}), "components": self.document["components"]}
        return jsonschema_rs.Draft202012Validator(rooted, validate_formats=True)

    def at(self, **values: str) -> str:
        """Return the path, with the keys that the document shows except for `values`."""
        shown = {p["name"]: quote(str(p["example"]), safe="") for p in self.parameters("path")}
        return self.path.format(**shown | values)

    def sample(self) -> Any:
        """Return the body that the document shows, with names and addresses nobody has taken."""
        if self.schema is None:
            return None
        shown = self.about["requestBody"]["content"][MEDIA_TYPE]["example"]
        if isinstance(shown, list):
            entry = self.part(self.schema["items"])
            return [self._fresh_object(each, entry) for each in shown]
        return self._fresh_object(shown, self.schema)

    def _fresh_object(self, shown: Json, schema: Json) -> Json:
        fields, number = schema.get("properties", {}), next(_serial)
        return {
            name: _fresh(value, self.part(fields[name]), number) for name, value in shown.items()
        }

    def request(self, *body: Any) -> Request:
        """Return a request that succeeds, or would if the `body` were another."""
        query = {
            known["name"]: known["example"]
            for known in self.parameters("query")
            if known.get("required")
        }
        headers = [
            # If-Match has no example: any tag that a document showed would be wrong.
            (known["name"], known.get("example", "*"))
            for known in self.parameters("header")
            if known.get("required")
        ]
        raw = b""
        if self.schema is not None:
            headers.append(("Content-Type", MEDIA_TYPE))
            raw = json.dumps(body[0] if body else self.sample()).encode()
        target = self.at() + (f"?{urlencode(query)}" if query else "")
        return Request(self.method, target, tuple(headers), raw, "as shown")


def operations(version: str, document: Json) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, about in item.items():
            if method == "head":
                continue
            yield Operation(version, method.upper(), path, about, document)


def is_free_text(schema: Json) -> bool:
    """Tell whether a field takes any text."""
    if "string" not in types(schema) or schema.keys() & {"enum", "format", "const"}:
        return False
    return re.search(schema.get("pattern", ""), FREE) is not None


def types(schema: Json) -> set[str]:
    found = schema.get("type", [])
    return {found} if isinstance(found, str) else set(found)


def _fresh(value: Any, schema: Json, number: int) -> Any:
    if not isinstance(value, str):
        return value
    if schema.get("format") == "idn-email":
        return f"hostile-{number}@alchemist.example"
    longest = schema.get("maxLength", 1000)
    return f"{value[: longest - 9]} {number}" if is_free_text(schema) and longest > 40 else value
