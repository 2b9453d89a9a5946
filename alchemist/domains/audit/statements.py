"""Parts of statements that write the audit entries of the rows that they insert or update."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import uuid_utils
from flask import Flask
from sqlalchemy import (
    ARRAY,
    CTE,
    JSON,
    ColumnElement,
    String,
    Uuid,
    bindparam,
    cast,
    exists,
    literal_column,
    select,
)
from sqlalchemy.types import TypeEngine
from uuid_utils.compat import uuid7

from alchemist import database as db

from .listeners import (
    ACTOR_TYPES,
    CHANGE_COLUMNS,
    INSERT,
    changed_fields,
    current_actor_values,
    register_listeners,
    value_changes,
    with_audit_prefix,
)

ENTRY_TYPES: dict[str, TypeEngine[Any]] = {"pk": Uuid(), **ACTOR_TYPES}
# What each of many entries has for itself.
ROW_TYPES: dict[str, TypeEngine[Any]] = {
    "pk": Uuid(),
    "resource_pk": Uuid(),
    "fields": ARRAY(String),
    "changes": JSON(),
}


class AuditStatements:
    """What the statements of `api` need to write audit entries, without importing this domain."""

    @staticmethod
    def insert_cte(inserted: CTE, resource: str, fields: Iterable[str]) -> CTE:
        """Return a CTE that writes the audit entry of an INSERT in the same statement.

        `insert_parameters` returns the values of its parameters. The rest is the same for all rows
        with these fields, so it is part of the SQL text.
        """
        change: tuple[ColumnElement[Any], ...] = (
            literal_column("'create'"),
            literal_column(f"'{resource}'"),
            inserted.c.pk,
            literal_column(f"'{{{','.join(fields)}}}'::varchar[]"),
            cast(bindparam("audit_changes", type_=String()), JSON),
        )
        values = select(*change, *_bound_parameters(ENTRY_TYPES)).select_from(inserted)
        return INSERT.from_select([*CHANGE_COLUMNS, *ENTRY_TYPES], values).cte("audit_entry")

    @staticmethod
    def insert_parameters(row: Any) -> dict[str, Any]:
        """Return the parameters of `insert_cte` for a row that the current request inserts."""
        changes = json.dumps(value_changes(row))
        return with_audit_prefix(current_actor_values() | {"pk": uuid7(), "changes": changes})

    @staticmethod
    def insert_many_cte(written: CTE, action: str, resource: str) -> CTE:
        """Return a CTE that writes an entry for each of many rows, if any of them is `written`.

        `insert_many_parameters` returns the values of its parameters.
        """
        entries = db.json_rows("audit", ROW_TYPES)
        change: tuple[ColumnElement[Any], ...] = (
            literal_column(f"'{action}'"),
            literal_column(f"'{resource}'"),
            entries.c.resource_pk,
            entries.c.fields,
            entries.c.changes,
        )
        rows = select(*change, entries.c.pk, *_bound_parameters(ACTOR_TYPES)).where(
            exists(select(written))
        )
        return INSERT.from_select([*CHANGE_COLUMNS, *ENTRY_TYPES], rows).cte("audit_entries")

    @staticmethod
    def insert_many_parameters(
        rows: Sequence[Any], fields: Sequence[Iterable[str]]
    ) -> dict[str, Any]:
        """Return the parameters of `insert_many_cte`; `fields` are the changed ones of each row."""
        entries = [
            {
                "pk": str(uuid_utils.uuid7()),
                "resource_pk": str(row.pk),
                "fields": sorted(names),
                "changes": value_changes(row),
            }
            for row, names in zip(rows, fields, strict=True)
        ]
        return with_audit_prefix(current_actor_values()) | {"audit": db.to_json(entries)}

    changed_fields = staticmethod(changed_fields)


def _bound_parameters(types: dict[str, TypeEngine[Any]]) -> list[ColumnElement[Any]]:
    return [bindparam(f"audit_{name}", type_=type_) for name, type_ in types.items()]


def register_statements_and_listeners(app: Flask) -> None:
    app.extensions["audit"] = AuditStatements
    register_listeners()
