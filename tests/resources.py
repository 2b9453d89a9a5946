"""Every resource of v2, with bodies and rows to test it with, as the code declares them.

A new resource is tested by all tests of all resources when it has a factory in tests/factories.py.
"""

from functools import partial
from typing import Any

from marshmallow import fields as marshmallow_fields

from alchemist.api.fields import List, Pk, Schema, Text
from alchemist.cli.operations import BATCHES, LISTS
from alchemist.database import ExternallyReferenced, sort_column, table, unique_constraints
from tests.factories import MODELS, make_row

WITH_REFERENCE = [name for name in BATCHES if issubclass(MODELS[name], ExternallyReferenced)]
# The rows of the audit log are made by others.
FACTORIES = {name: partial(make_row, name) for name in LISTS if name != "audit"}


def unique_fields(resource: str) -> set[str]:
    """Return the names of the text fields whose values are unique."""
    columns = {
        source
        for constraint, _error in unique_constraints(table(MODELS[resource]))
        for column in constraint
        for source in column.info.get("derived", (None, [column.name]))[1]
    }
    fields = BATCHES[resource].creation.request_schema.load_fields
    names = columns & fields.keys() - {"reference"}
    return {name for name in names if isinstance(fields[name], Text)}


def text_sorts() -> dict[str, tuple[str, int]]:
    """Return the field with text by which each list can be sorted, and the length of its column."""
    return {
        name: (column.name, column.type.length)
        for name in BATCHES
        for column in table(MODELS[name]).c
        if sort_column(table(MODELS[name]), column.name) is not column
    }


class Bodies:
    """Valid bodies of each resource; the number makes unique values.

    Those with an odd number have all fields, the others have those that are required.
    """

    def __init__(self) -> None:
        self.pks: dict[tuple[Any, int], str] = {}

    def of(self, resource: str, numbers: Any) -> list[dict[str, Any]]:
        return [self.one(resource, number) for number in numbers]

    def one(self, resource: str, number: int) -> dict[str, Any]:
        body = self._object(BATCHES[resource].creation.request_schema, number)
        for name in unique_fields(resource):
            body[name] = f"{number}{body[name]}"
        return body

    def _object(self, schema: Schema, number: int, row: int = 0) -> dict[str, Any]:
        return {
            name: self._value(field, number, row)
            for name, field in schema.load_fields.items()
            if field.required or (number % 2 and name != "reference" and not is_read_only(field))
        }

    def _value(self, field: Any, number: int, row: int) -> Any:
        if isinstance(field, List):
            return [self._object(field.inner.schema, number, row) for row in range(1 + number % 3)]
        if isinstance(field, Pk) and field.references:
            return self._pk(field.references, row)
        return field.metadata["examples"][0]

    def _pk(self, model: Any, number: int) -> str:
        """Return the primary key of a row that all bodies share."""
        if (model, number) not in self.pks:
            self.pks[model, number] = str(make_row(model.__tablename__).pk)
        return self.pks[model, number]


def is_read_only(field: marshmallow_fields.Field[Any]) -> bool:
    return bool(field.metadata.get("readOnly"))
