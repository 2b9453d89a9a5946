"""References in a body: each that leads nowhere is told with its pointer, all of them at once."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from marshmallow import Schema
from marshmallow.fields import Field, List, Nested
from sqlalchemy import select

from alchemist.db import session
from alchemist.fields import CANONICAL_UUID, Pk

Path = tuple[str | int, ...]


def missing(schema: Schema, body: Any) -> Iterator[tuple[Path, type[Any], UUID]]:
    """Return where `body` refers to a row that does not exist; keep those that do from going.

    One statement for each model that is referred to. Ordered, so that two requests never wait
    for each other crosswise.
    """
    named = list(_in_object(schema, body, ()))
    wanted: dict[type[Any], set[UUID]] = defaultdict(set)
    for _, model, pk in named:
        wanted[model].add(pk)
    found = {model: _existing(model, pks) for model, pks in wanted.items()}
    return (reference for reference in named if reference[2] not in found[reference[1]])


def _existing(model: type[Any], pks: set[UUID]) -> set[UUID]:
    rows = select(model.pk).where(model.pk.in_(pks)).order_by(model.pk)
    return set(session.scalars(rows.with_for_update(key_share=True, read=True)))


def _in_object(schema: Schema, body: Any, path: Path) -> Iterator[tuple[Path, type[Any], UUID]]:
    if isinstance(body, dict):
        for name, field in schema.load_fields.items():
            if name in body:
                yield from _in_value(field, body[name], (*path, name))


def _in_value(field: Field[Any], value: Any, path: Path) -> Iterator[tuple[Path, type[Any], UUID]]:
    if isinstance(field, List) and isinstance(value, list):
        for index, member in enumerate(value):
            yield from _in_value(field.inner, member, (*path, index))
    elif isinstance(field, Nested) and isinstance(value, dict):
        yield from _in_object(field.schema, value, path)
    elif isinstance(value, str) and CANONICAL_UUID.fullmatch(value) and (to := _target(field)):
        yield path, to, UUID(value)


def _target(field: Field[Any]) -> type[Any] | None:
    """Return the model that a bare key refers to, in a key field or for a whole nested object."""
    key = field.schema.fields.get("pk") if isinstance(field, Nested) else field
    return key.to if isinstance(key, Pk) else None
