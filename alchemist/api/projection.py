"""Representations that a client chooses: some members (`fields`), and referred rows (`expand`)."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from marshmallow import Schema as AnySchema
from marshmallow import ValidationError, validates_schema
from marshmallow.fields import Field
from sqlalchemy import ColumnElement, Uuid, bindparam, or_, select
from sqlalchemy.orm import aliased

from alchemist import database as db

from .field_docs import component_name
from .fields import CodedMessage, EnumList, Expansion, List, Nested, Schema
from .json_select import field_to_sql, json_object
from .request import request

QuerySchema = TypeVar("QuerySchema", bound=Schema)
PARAMETERS = ("members", "expand")
# The members that are chosen; None is all of them.
Names = frozenset[str] | None


class ExpandedRow(Field[Any]):
    """The whole row to which a key refers; null if there is none that the caller may read."""

    def __init__(self, expansion: Expansion, key_field: Field[Any], schema: AnySchema) -> None:
        self.expansion, self.key_field, self.schema = expansion, key_field, schema
        super().__init__()

    def row_to_sql(self, row: Any) -> ColumnElement[Any]:
        target = aliased(self.expansion.model)
        key = field_to_sql(self.key_field, [str(self.key_field.name)], row)
        query = select(json_object(self.schema, target)).where(target.pk == key)
        if self.expansion.owner:
            owner_id = bindparam(_owner_parameter_name(self.expansion), type_=Uuid())
            is_owner = getattr(target, self.expansion.owner) == owner_id
            query = query.where(or_(owner_id.is_(None), is_owner))
        return query.correlate(row).scalar_subquery()


def _owner_parameter_name(expansion: Expansion) -> str:
    return f"owner_of_{expansion.model.__tablename__}"


def with_projection_parameters(query: type[QuerySchema], schema: type[Schema]) -> type[QuerySchema]:
    """Return the query schema with the parameters `fields` and, if `schema` has any, `expand`.

    The attribute of `fields` is `members`: `fields` is an attribute of every schema.
    """
    expansions = [*_expansions(schema())]
    members = EnumList(
        *_member_names(project(schema, None, frozenset(expansions))),
        name=f"{component_name(schema)}Field",
        data_key="fields",
        metadata={
            "description": "The members that the answer has, whatever its schema requires; those "
            "of nested objects after a dot. Its `ETag` does not fit `If-Match`."
            + (_expansion_rule(schema, expansions) if expansions else ""),
            "examples": [["pk"]],
        },
    )
    if not expansions:
        return type(query.__name__, (query,), {"members": members})
    expand = EnumList(
        *expansions,
        name=f"{component_name(schema)}Expansion",
        metadata={
            "description": "Referred rows that the answer has, each whole beside its `_id`. It is "
            "null if the caller may not read that row; without the permission for such rows at all "
            "the answer is 401 or 403.",
            "examples": [expansions[:1]],
        },
    )

    def check_members(_self: Any, values: Mapping[str, Any], **_: Any) -> None:
        """Reject members of rows that are not expanded."""
        allowed = _member_names(project(schema, None, frozenset(values.get("expand", ()))))
        if unknown := sorted(set(values.get("members", ())) - set(allowed)):
            message = f"{unknown[0]} is a member of a row that expand does not name."
            raise ValidationError({"fields": [CodedMessage("not-one-of", message)]})

    check = validates_schema(check_members)
    parameters = {"members": members, "expand": expand, "check_members": check}
    return type(query.__name__, (query,), parameters)


def _expansion_rule(schema: type[Schema], expansions: Sequence[str]) -> str:
    """Return the sentence of the documentation of `fields` on members of referred rows."""
    always = _member_names(project(schema, None, frozenset()))
    exceptions = [name for name in always if name.rpartition(".")[0] in expansions]
    rule = f" The members of {_join_as_code(expansions)} need the name of that row in `expand`, too"
    return f"{rule}, except {_join_as_code(exceptions)}." if exceptions else f"{rule}."


def _join_as_code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def may_be_requested(query_string: bytes) -> bool:
    """Return whether a query string has `fields` or `expand`, or may have them encoded."""
    return any(mark in query_string for mark in (b"fields", b"expand", b"%"))


def expansion_error_statuses(schema: type[Schema]) -> list[int]:
    """Return the statuses of errors that expanding rows may have: 403 if one needs a permission."""
    return [403] if any(each.permission for each in _expansions(schema()).values()) else []


def apply_projection(
    schema: Schema, query: db.Query, values: Mapping[str, Any]
) -> tuple[AnySchema, db.Query]:
    """Return the schema and the query for the values of `fields` and `expand`.

    Raise Unauthorized or Forbidden if the caller lacks a permission for an expanded row.
    """
    if "members" not in values and "expand" not in values:
        return schema, query
    names = frozenset(values.get("expand", ()))
    members = frozenset(values["members"]) if "members" in values else None
    expansions = _expansions(schema)
    owner_ids = {
        _owner_parameter_name(expansions[name]): _require_permission_and_return_owner(
            expansions[name]
        )
        for name in names
    }
    projected = project(type(schema), members, names)
    return projected, query.with_parameters(owner_ids)


def _require_permission_and_return_owner(expansion: Expansion) -> Any:
    """Return the owner whose rows the caller may read, None for those of all owners."""
    if expansion.permission is None:
        return None
    request.caller.require(expansion.permission)
    return request.caller.owner_filter(expansion.permission) if expansion.owner else None


# Bounded, because clients choose the members.
@lru_cache(maxsize=256)
def project(schema: type[Schema], members: Names, expand: frozenset[str]) -> AnySchema:
    """Return a schema that dumps only these members, and the rows to expand."""
    return _restrict_in_place(schema(), members, expand)


def _restrict_in_place(schema: Any, members: Names, expand: frozenset[str]) -> AnySchema:
    """Reduce a schema that nobody else uses."""
    schema.dump_fields = dict(_chosen_fields(schema, members, expand))
    return schema  # type: ignore[no-any-return]


def _chosen_fields(
    schema: Any, members: Names, expand: frozenset[str]
) -> Iterator[tuple[str, Field[Any]]]:
    for name, field in schema.dump_fields.items():
        member = field.data_key or name
        if member not in expand and _is_chosen(member, members):
            if nested := _nested_schema(field):
                _restrict_in_place(
                    nested,
                    _names_below(member, members),
                    _names_below(member, expand) or frozenset(),
                )
            yield name, field
        target = member.removesuffix("_id")
        if target in expand and target != member and _is_chosen(target, members):
            expansion = schema.expandable[target]
            target_schema = project(expansion.schema, _names_below(target, members), frozenset())
            yield target, ExpandedRow(expansion, field, target_schema)


def _is_chosen(member: str, members: Names) -> bool:
    return members is None or any(f"{each}.".startswith(f"{member}.") for each in members)


def _names_below(member: str, names: Names) -> Names:
    """Return the names of the members of a nested object, None for all of them."""
    if names is None or member in names:
        return None
    prefix = f"{member}."
    return frozenset(each.removeprefix(prefix) for each in names if each.startswith(prefix))


def _nested_schema(field: Field[Any]) -> Any:
    inner = field.inner if isinstance(field, List) else field
    return inner.schema if isinstance(inner, Nested | ExpandedRow) else None


def _member_names(schema: AnySchema) -> Iterator[str]:
    """Yield the names of the members, those of nested objects with a dot."""
    for name, field in schema.dump_fields.items():
        member = field.data_key or name
        yield member
        if nested := _nested_schema(field):
            yield from (f"{member}.{each}" for each in _member_names(nested))


def _expansions(schema: Any) -> dict[str, Expansion]:
    """Return the rows that can be expanded, by the names that clients use."""
    expansions = dict(schema.expandable)
    for name, field in schema.dump_fields.items():
        if nested := _nested_schema(field):
            expansions |= {f"{name}.{each}": value for each, value in nested.expandable.items()}
    return expansions
