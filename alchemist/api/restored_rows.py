"""Rows that are restored from an export: their read-only members, and the errors in these."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError
from sqlalchemy import func, select

from alchemist import database as db
from alchemist.errors import ErrorDetail

from . import references
from .error_details import to_error_details
from .json_values import is_equal

Members = Mapping[str, Any]


def read_only_members(schema: Schema, body: Any) -> Members:
    """Return the members of a body that clients cannot set."""
    names = schema.dump_fields.keys() - schema.load_fields.keys()
    return {name: body[name] for name in body.keys() & names} if isinstance(body, dict) else {}


def load(
    schema: Any, read_only: Members, path: references.Path
) -> tuple[Members, list[ErrorDetail]]:
    """Return the values of the `restored_fields` of a schema, and the errors in them."""
    values, messages = {}, {}
    for name in schema.restored_fields:
        if read_only.get(name) is not None:
            try:
                values[name] = schema.fields[name].deserialize(read_only[name])
            except ValidationError as error:
                messages[name] = error.messages
    return values, [*to_error_details(messages, "json", path)]


def taken_pk_errors(model: Any, pks: Mapping[int, UUID]) -> Iterator[ErrorDetail]:
    """Yield an error for each entry, by its number, whose key a stored row has."""
    statement = select(model.pk).where(model.pk == func.any(list(pks.values())))
    taken = set(db.session.scalars(statement)) if pks else set()
    for number, pk in pks.items():
        if pk in taken:
            detail = "A row with this key exists."
            yield {"pointer": f"#/{number}/pk", "code": "already-exists", "detail": detail}


def compared_members(schema: Any, read_only: Members) -> Members:
    """Return the members that follow from other rows, such as the currency of a product."""
    others = {*schema.restored_fields, "updated_at"}
    return {n: value for n, value in read_only.items() if n not in others and value is not None}


def difference_errors(
    schema: Schema, members: Members, document: Members, path: references.Path
) -> Iterator[ErrorDetail]:
    """Yield an error for each member that differs from the representation of the new row."""
    for name in sorted(members):
        if not is_equal(schema.fields[name], document[name], members[name]):
            stored = json.dumps(document[name], ensure_ascii=False)[:80]
            pointer = references.json_pointer((*path, name))
            detail = f"In the new row it is {stored}."
            yield {"pointer": pointer, "code": "read-only", "detail": detail}
