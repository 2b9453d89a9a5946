"""The usual operations of a resource: create, read, update and delete rows, also in batches."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any
from uuid import UUID

from alchemist import database as db

from .batch_resource import add_batch
from .blueprint import Blueprint
from .fields import Schema
from .idempotency import idempotent
from .pagination import ListQuerySchema
from .resource import PUBLIC, Resource

View = Callable[..., Any]


def add_crud(
    blueprint: Blueprint,
    schema: type[Schema],
    query_schema: type[ListQuerySchema],
    service: ModuleType,
    *,
    noun: str,
    write_permission: str,
    docstrings: Mapping[str, str] | None = None,
) -> None:
    """Add the resources of rows that everybody may read.

    Those of `PotionSchema` are `PotionList`, `PotionItem` and `PotionBatch`. `service` has the
    queries `by_pk` and `list_query`, and `create`, which returns a new row. `noun` is `a potion`,
    for the summaries of the operations; `docstrings` replaces some, by method. A resource with
    further rules has resources of its own.
    """

    def documented(method: str, summary: str) -> Callable[[View], View]:
        def decorator(view: View) -> View:
            view.__doc__ = (docstrings or {}).get(method, summary)
            return view

        return decorator

    class RowList(Resource):
        permissions = {"get": PUBLIC, "post": write_permission}

        @blueprint.list(schema, query_schema)
        @documented("list", f"List {blueprint.name}")
        def get(self, filters: dict[str, Any]) -> Any:
            return service.list_query(**filters)

        @idempotent
        @blueprint.create(schema, service.by_pk, body=schema, problems=["already-exists"])
        @documented("post", f"Create {noun}")
        def post(self, values: dict[str, Any]) -> Any:
            return service.create(**values)

    class RowItem(Resource):
        permissions = {"get": PUBLIC, "patch": write_permission, "delete": write_permission}

        @blueprint.retrieve(schema)
        @documented("get", f"Get {noun}")
        def get(self, pk: UUID) -> Any:
            return service.by_pk(pk)

        @blueprint.update(schema, service.by_pk, problems=["already-exists"])
        @documented("patch", f"Update {noun}")
        def patch(self, row: Any, changes: dict[str, Any]) -> None:
            db.update_with_children(row, changes)

        @blueprint.destroy(schema, service.by_pk, problems=["in-use"])
        @documented("delete", f"Delete {noun}")
        def delete(self, row: Any) -> None:
            db.delete(row)

    for resource, kind, rule in ((RowList, "List", ""), (RowItem, "Item", "/<uuid:pk>")):
        resource.__name__ = schema.__name__.removesuffix("Schema") + kind
        resource.__module__ = blueprint.import_name
        blueprint.route(rule)(resource)
    add_batch(blueprint, "/batch", RowList, RowItem)
