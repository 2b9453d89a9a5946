"""A marshmallow schema as an SQL expression: rows leave PostgreSQL as finished JSON."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import ColumnElement, FromClause, Select, String, cast, func, select
from sqlalchemy.orm import RelationshipProperty, aliased
from sqlalchemy.sql.selectable import Subquery

# What `aliased` returns: its attributes are those of the model.
Alias = Any
# Where rows of a model are read from, if not from its table.
FromOverrides = Mapping[type[Any], FromClause]


@cache
def select_json(query: Select[Any], schema: Schema) -> Select[Any]:
    """Return the statement whose single value is the JSON text of the one row of `query`."""
    found = query.subquery()
    row = aliased(query.column_descriptions[0]["entity"], found)
    return select(cast(json_object(schema, row), String)).select_from(found)


def json_object(
    schema: Schema, row: Alias, sources: FromOverrides = MappingProxyType({})
) -> ColumnElement[Any]:
    """Return `schema`'s JSON object of one row, everything nested in it included.

    Each nested value is a correlated sub-select over a key: its plan is an index look-up
    whatever the planner believes of the size of the page around it.
    """
    return _row_to_json(select(*_columns(schema, row, sources)).correlate(row).subquery())


def _row_to_json(columns: Subquery) -> ColumnElement[Any]:
    return select(func.row_to_json(columns.table_valued())).scalar_subquery()


def _columns(schema: Schema, row: Alias, sources: FromOverrides) -> list[ColumnElement[Any]]:
    return [
        _column(field, (field.attribute or name).split("."), row, sources).label(
            field.data_key or name
        )
        for name, field in schema.dump_fields.items()
    ]


def _column(
    field: fields.Field[Any], path: list[str], row: Alias, sources: FromOverrides
) -> ColumnElement[Any]:
    """Return the value of `field` at `path` from `row`, a step of the path at a time."""
    relationship = row._aliased_insp.mapper.relationships.get(path[0])
    if relationship is None:
        column: ColumnElement[Any] = getattr(row, path[0])
        return field.to_sql(column) if hasattr(field, "to_sql") else column
    model = relationship.entity.class_
    other = aliased(model, sources.get(model))
    if len(path) > 1:
        value = select(_column(field, path[1:], other, sources))
        return _related_scalar(value, relationship, row, other)
    if isinstance(field, fields.Nested):
        value = select(json_object(field.schema, other, sources))
        return _related_scalar(value, relationship, row, other)
    if isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
        return _json_array(_columns(field.inner.schema, other, sources), relationship, row, other)
    raise TypeError(f"{type(field).__name__} cannot show the relationship {relationship}.")


def _related_scalar(
    value: Select[Any], relationship: RelationshipProperty[Any], row: Alias, other: Alias
) -> ColumnElement[Any]:
    return value.where(_join_condition(relationship, row, other)).correlate(row).scalar_subquery()


def _json_array(
    values: list[ColumnElement[Any]],
    relationship: RelationshipProperty[Any],
    row: Alias,
    other: Alias,
) -> ColumnElement[Any]:
    order = [getattr(other, str(column.key)) for column in relationship.order_by or ()]
    members = (
        select(*values)
        .where(_join_condition(relationship, row, other))
        .correlate(row)
        .order_by(*order)
        .subquery()
    )
    listed = func.coalesce(func.json_agg(members.table_valued()), func.json_build_array())
    return select(listed).scalar_subquery()


def _join_condition(
    relationship: RelationshipProperty[Any], row: Alias, other: Alias
) -> ColumnElement[bool]:
    (near, far), *more = relationship.local_remote_pairs or ()
    if more:
        raise TypeError(f"{relationship} joins on more than one column.")
    condition: ColumnElement[bool] = getattr(row, str(near.key)) == getattr(other, str(far.key))
    return condition
