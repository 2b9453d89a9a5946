"""Turn a marshmallow schema into an SQL expression: PostgreSQL returns finished JSON."""

from collections.abc import Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Select,
    String,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import RelationshipProperty, aliased
from sqlalchemy.sql.selectable import Subquery

# The return value of `aliased`: it has the attributes of the model.
Alias = Any
# What to select the rows of a model from, instead of its table.
FromOverrides = Mapping[type[Any], FromClause]


# Bounded, because clients choose the members of the schema.
@lru_cache(maxsize=256)
def select_json(query: Select[Any], schema: Schema) -> Select[Any]:
    """Return the SELECT of the JSON text of each row of `query`: the dump of `schema`."""
    rows = query.subquery()
    row = aliased(query.column_descriptions[0]["entity"], rows)
    return select(cast(json_object(schema, row), String)).select_from(rows)


@cache
def select_json_array(model: Any, schema: Schema) -> Select[Any]:
    """Return the SELECT of the JSON array of the rows whose keys are in `pks`, in that order."""
    keys = (
        func.unnest(bindparam("pks", type_=ARRAY(Uuid())))
        .table_valued("pk", with_ordinality="number", name="keys")
        .render_derived()
    )
    rows = select(model, keys.c.number).join_from(keys, model, model.pk == keys.c.pk).subquery()
    row = json_object(schema, aliased(model, rows))
    items = func.json_agg(aggregate_order_by(row, rows.c.number))
    return select(cast(items, String))


def json_object(
    schema: Schema, row: Alias, overrides: FromOverrides = MappingProxyType({})
) -> ColumnElement[Any]:
    """Return the expression for the JSON object that `schema` dumps of a row, nested ones included.

    Nested values are correlated subqueries on a key, so each is an index lookup whatever the
    estimated size of the page. Raise TypeError for a field that has no SQL expression.
    """
    return _row_to_json(select(*labelled_columns(schema, row, overrides)).correlate(row).subquery())


def _row_to_json(columns: Subquery) -> ColumnElement[Any]:
    return select(func.row_to_json(columns.table_valued())).scalar_subquery()


def labelled_columns(
    schema: Schema, row: Alias, overrides: FromOverrides = MappingProxyType({})
) -> list[ColumnElement[Any]]:
    """Return the expression for each value that `schema` dumps of a row, labelled with its name."""
    return [
        field_to_sql(field, (field.attribute or name).split("."), row, overrides).label(
            field.data_key or name
        )
        for name, field in schema.dump_fields.items()
    ]


def field_to_sql(
    field: fields.Field[Any],
    path: list[str],
    row: Alias,
    overrides: FromOverrides = MappingProxyType({}),
) -> ColumnElement[Any]:
    """Return the value of `field`, following `path` from `row`: relationships, then a column.

    A field converts its column with `to_sql`; with `row_to_sql` it makes a value of several
    columns. A list with `item_condition` leaves out other items.
    """
    if len(path) == 1 and hasattr(field, "row_to_sql"):
        return _json_with_schema_members_only(field, field.row_to_sql(row), row)
    relationship = row._aliased_insp.mapper.relationships.get(path[0])
    if relationship is None:
        column: ColumnElement[Any] = getattr(row, path[0])
        if hasattr(field, "to_sql"):
            return field.to_sql(column)  # type: ignore[no-any-return]
        return _json_with_schema_members_only(field, column, row)
    model = relationship.entity.class_
    related = aliased(model, overrides.get(model))
    if len(path) > 1:
        value = select(field_to_sql(field, path[1:], related, overrides))
        return _scalar_of_related_row(value, relationship, row, related)
    if isinstance(field, fields.Nested):
        value = select(json_object(field.schema, related, overrides))
        return _scalar_of_related_row(value, relationship, row, related)
    if isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
        columns = labelled_columns(field.inner.schema, related, overrides)
        items = _related_rows(columns, relationship, row, related)
        if hasattr(field, "item_condition"):
            items = items.where(field.item_condition(row, related))
        return _json_array(items)
    raise TypeError(f"{type(field).__name__} cannot serialize the relationship {relationship}.")


def _json_with_schema_members_only(
    field: fields.Field[Any], value: ColumnElement[Any], row: Alias
) -> ColumnElement[Any]:
    """Return a JSON value; of the objects in an array, only the members that their schema has."""
    schema = getattr(getattr(field, "inner", None), "schema", None)
    if schema is None or len(schema.dump_fields) == len(schema.fields):
        return value
    item = func.json_array_elements(value).column_valued("item")
    members: list[Any] = []
    for name, member in schema.dump_fields.items():
        label: ColumnElement[str] = literal_column(f"'{member.data_key or name}'")
        members += [label, item.op("->")(label)]
    objects = select(func.json_agg(func.json_build_object(*members)))
    return func.coalesce(objects.correlate(row).scalar_subquery(), func.json_build_array())


def _scalar_of_related_row(
    value: Select[Any], relationship: RelationshipProperty[Any], row: Alias, related: Alias
) -> ColumnElement[Any]:
    is_joined = _join_condition(relationship, row, related)
    return value.where(is_joined).correlate(row).scalar_subquery()


def _related_rows(
    columns: list[ColumnElement[Any]],
    relationship: RelationshipProperty[Any],
    row: Alias,
    related: Alias,
) -> Select[Any]:
    order = [getattr(related, str(column.key)) for column in relationship.order_by or ()]
    items = select(*columns).where(_join_condition(relationship, row, related))
    return items.correlate(row).order_by(*order)


def _json_array(items: Select[Any]) -> ColumnElement[Any]:
    rows = func.json_agg(items.subquery().table_valued())
    return select(func.coalesce(rows, func.json_build_array())).scalar_subquery()


def _join_condition(
    relationship: RelationshipProperty[Any], row: Alias, related: Alias
) -> ColumnElement[bool]:
    (local, remote), *more_columns = relationship.local_remote_pairs or ()
    if more_columns:
        raise TypeError(f"{relationship} joins on more than one column.")
    condition: ColumnElement[bool] = getattr(row, str(local.key)) == getattr(
        related, str(remote.key)
    )
    return condition
