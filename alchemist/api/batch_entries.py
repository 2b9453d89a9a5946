"""What a batch does, and its entries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from marshmallow import Schema

from .operations import Creation, Update

# Stands for the key in a query of one row that is made one of several rows.
ANY_PK = UUID(int=0)
CreateMany = Callable[[Sequence[Mapping[str, Any]]], Sequence[Any]]


@dataclass(frozen=True)
class BatchOperation:
    """What is done with each entry: that of a POST of one row or, with `update`, of a PATCH.

    `create_many` replaces the view of the POST, if that would look up something for each row. With
    `restores`, the entries are those of an export: an entry whose `pk` no row has creates that row.
    With `omits_nulls`, a null of a new row is as if it were missing: CSV has one empty field for
    both.
    """

    creation: Creation
    update: Update | None = None
    create_many: CreateMany | None = None
    restores: bool = False
    omits_nulls: bool = False

    @property
    def model(self) -> Any:
        """The model of the rows."""
        return self.creation.find(pk=ANY_PK).model

    @property
    def schemas(self) -> tuple[Schema, Schema]:
        """The schemas of the body and of the representation."""
        return self.creation.request_schema, self.creation.schema


@dataclass
class Entry:
    """An entry of a batch, and the stored row that it updates, with its representation.

    The `read_only` members of an entry that restores its row have the `restored` values.
    """

    body: Any
    row: Any = None
    current: Mapping[str, Any] | None = None
    read_only: Mapping[str, Any] = field(default_factory=dict)
    restored: Mapping[str, Any] = field(default_factory=dict)

    def body_to_load(self, *, omits_nulls: bool) -> Any:
        """Return the body, of a new row without its read-only members and, maybe, its nulls."""
        if self.row or not (self.read_only or omits_nulls) or not isinstance(self.body, dict):
            return self.body
        return {
            name: value
            for name, value in self.body.items()
            if name not in self.read_only and not (omits_nulls and value is None)
        }

    @property
    def pk(self) -> Any:
        """The key of its row, None if the row is new and gets one."""
        return self.row.pk if self.row else self.restored.get("pk")
