"""Stores over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.api import PUBLIC, Blueprint, Resource
from alchemist.api.batch_resource import add_batch
from alchemist.api.idempotency import idempotent
from alchemist.api.request import request
from alchemist.database import Query

from . import auth, service
from .models import Store
from .schemas import StoreListQuery, StoreSchema

blp = Blueprint(
    "stores", __name__, url_prefix="/api/v2/stores", description="Stores, which sell products."
)


@blp.route("")
class StoreList(Resource):
    permissions = {"get": PUBLIC, "post": auth.WRITE}

    @blp.list(StoreSchema, StoreListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List stores"""
        return service.list_query(**filters)

    @idempotent
    @blp.create(StoreSchema, service.by_pk, body=StoreSchema, problems=["already-exists"])
    def post(self, values: dict[str, Any]) -> Store:
        """Create a store"""
        auth.check_owner(values)
        return service.create(**{"owner_id": request.caller.user_id} | values)


@blp.route("/<uuid:pk>")
class StoreItem(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.retrieve(StoreSchema)
    def get(self, pk: UUID) -> Query:
        """Get a store"""
        return service.by_pk(pk)

    @blp.update(StoreSchema, auth.writable_query, problems=["already-exists", "conflict"])
    def patch(self, store: Store, changes: dict[str, Any]) -> None:
        """Change a store

        A new currency applies to the prices of all products of the store: amounts are not
        converted. A price with more decimals than the new currency is a conflict (409). Orders keep
        their currency. A store of another user needs the permission `stores:write:any`.
        """
        auth.check_owner(changes)
        service.update(store, changes)

    @blp.destroy(StoreSchema, auth.writable_query, problems=["in-use"])
    def delete(self, store: Store) -> None:
        """Delete a store

        A store with products cannot be deleted: 409 names some of them.
        """
        service.delete(store)


add_batch(blp, "/batch", StoreList, StoreItem)
