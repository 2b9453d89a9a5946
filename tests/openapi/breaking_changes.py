"""Finds the differences between two OpenAPI documents that break clients of the older one.

A request must still be accepted, and a response must still be what the client can read. Names that
generated code has (operations, schemas, members) must stay.
"""

from collections.abc import Iterator
from typing import Any

from alchemist.docs.example_values import resolve_ref

Json = dict[str, Any]
# Limits of requests, and whether a larger value is the stricter one.
LIMITS = {
    "maxLength": False,
    "maxItems": False,
    "maximum": False,
    "minLength": True,
    "minItems": True,
    "minimum": True,
}


def breaking_changes(old: Json, new: Json) -> list[str]:
    """Return a sentence for each change that breaks clients."""
    return list(Comparison(old, new).changes())


class Comparison:
    """Compares two documents; `is_request` is the direction of what is compared."""

    def __init__(self, old: Json, new: Json) -> None:
        self.old, self.new = old, new
        self.compared: set[tuple[str, str, bool]] = set()

    def changes(self) -> Iterator[str]:
        for path, path_item in self.old["paths"].items():
            for method, operation in path_item.items():
                other = self.new["paths"].get(path, {}).get(method)
                where = f"{method.upper()} {path}"
                if other is None:
                    yield f"{where}: removed."
                else:
                    yield from self.operation(where, operation, other)
        for name in self.old["components"]["schemas"].keys() - self.new["components"]["schemas"]:
            yield f"schema {name}: removed or renamed."

    def operation(self, where: str, old: Json, new: Json) -> Iterator[str]:
        for name in ("operationId", "x-permission"):
            if old.get(name) != new.get(name):
                yield f"{where}: {name} was {old.get(name)}, and is {new.get(name)}."
        yield from self.parameters(where, old, new)
        yield from self.body(where, old.get("requestBody"), new.get("requestBody"))
        for status, response in old["responses"].items():
            if status < "400":
                other = new["responses"].get(status)
                yield from self.response(f"{where}, {status}", response, other)

    def parameters(self, where: str, old: Json, new: Json) -> Iterator[str]:
        before, after = (
            _parameters(operation, document)
            for operation, document in ((old, self.old), (new, self.new))
        )
        for key in before.keys() - after:
            yield f"{where}: parameter {key[1]} removed."
        for key, parameter in after.items():
            if parameter.get("required") and not before.get(key, {}).get("required"):
                yield f"{where}: parameter {key[1]} is required."
            if key in before:
                schemas = before[key]["schema"], parameter["schema"]
                yield from self.schema(f"{where}: parameter {key[1]}", *schemas, is_request=True)

    def body(self, where: str, old: Json | None, new: Json | None) -> Iterator[str]:
        if new and new.get("required") and not old:
            yield f"{where}: a body is required."
        if old and not new:
            yield f"{where}: takes no body."
        if old and new:
            yield from self.content(f"{where}: body", old, new, is_request=True)

    def response(self, where: str, old: Json, new: Json | None) -> Iterator[str]:
        if new is None:
            yield f"{where}: removed."
            return
        for name, header in old.get("headers", {}).items():
            other = new.get("headers", {}).get(name)
            was_required = resolve_ref(header, self.old).get("required")
            if other is None or (was_required and not resolve_ref(other, self.new).get("required")):
                yield f"{where}: header {name} removed, or no longer in every response."
        yield from self.content(where, old, new, is_request=False)

    def content(self, where: str, old: Json, new: Json, *, is_request: bool) -> Iterator[str]:
        for media_type, content in old.get("content", {}).items():
            other = new.get("content", {}).get(media_type)
            if other is None:
                yield f"{where}: {media_type} removed."
            else:
                schemas = content["schema"], other["schema"]
                yield from self.schema(where, *schemas, is_request=is_request)

    def schema(self, where: str, old: Json, new: Json, *, is_request: bool) -> Iterator[str]:
        references = str(old.get("$ref", "")), str(new.get("$ref", ""))
        if references[0] and references[0] != references[1]:
            yield f"{where}: was {references[0]}, and is {references[1] or 'another schema'}."
            return
        if references[0] and (*references, is_request) in self.compared:
            return
        self.compared.add((*references, is_request))
        old, new = resolve_ref(old, self.old), resolve_ref(new, self.new)
        yield from _type_changes(where, old, new, is_request=is_request)
        if is_request:
            yield from _narrowed(where, old, new)
        yield from self.members(where, old, new, is_request=is_request)
        if "items" in old and "items" in new:
            items = old["items"], new["items"]
            yield from self.schema(f"{where}[]", *items, is_request=is_request)
        yield from self.alternatives(where, old, new, is_request=is_request)

    def members(self, where: str, old: Json, new: Json, *, is_request: bool) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, field in before.items():
            if name not in after:
                yield f"{where}: member {name} removed."
            else:
                fields = field, after[name]
                yield from self.schema(f"{where}.{name}", *fields, is_request=is_request)
        required, other = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(other - required if is_request else (required - other) & after.keys()):
            is_or_not = "is required" if is_request else "is not in every response"
            yield f"{where}: member {name} {is_or_not}."

    def alternatives(self, where: str, old: Json, new: Json, *, is_request: bool) -> Iterator[str]:
        before, after = old.get("oneOf", []), new.get("oneOf", [])
        lost = len(after) < len(before) if is_request else len(after) > len(before)
        if lost:
            yield f"{where}: had {len(before)} alternatives, and has {len(after)}."
        for pair in zip(before, after, strict=False):
            yield from self.schema(where, *pair, is_request=is_request)


def _parameters(operation: Json, document: Json) -> dict[tuple[str, str], Json]:
    """Return the parameters of an operation by location and name."""
    parameters = (resolve_ref(each, document) for each in operation.get("parameters", ()))
    return {(each["in"], each["name"]): each for each in parameters}


def _type_changes(where: str, old: Json, new: Json, *, is_request: bool) -> Iterator[str]:
    before, after = _types(old), _types(new)
    if before - after if is_request else after - before:
        yield f"{where}: the type was {sorted(before)}, and is {sorted(after)}."
    if old.get("format") != new.get("format"):
        yield f"{where}: the format was {old.get('format')}, and is {new.get('format')}."


def _types(schema: Json) -> set[str]:
    types = schema.get("type", [])
    return {types} if isinstance(types, str) else set(types)


def _narrowed(where: str, old: Json, new: Json) -> Iterator[str]:
    if "enum" in new and ("enum" not in old or set(old["enum"]) - set(new["enum"])):
        yield f"{where}: fewer values are allowed."
    if "pattern" in new and old.get("pattern") != new["pattern"]:
        yield f"{where}: the pattern was {old.get('pattern')}, and is {new['pattern']}."
    for name, larger_is_stricter in LIMITS.items():
        if name in new and (
            name not in old
            or (new[name] > old[name] if larger_is_stricter else new[name] < old[name])
        ):
            yield f"{where}: {name} was {old.get(name)}, and is {new[name]}."
    if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
        yield f"{where}: further members are rejected."
