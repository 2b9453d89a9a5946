"""Stores over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.db import Query
from alchemist.idempotency import idempotent
from alchemist.rest import PUBLIC, Blueprint, Resource
from alchemist.rest.request import request

from . import auth, service
from .models import Store
from .schemas import StoreFilters, StoreSchema

blp = Blueprint(
    "stores", __name__, url_prefix="/api/v2/stores", description="Where potions are sold."
)


@blp.route("")
class Stores(Resource):
    permissions = {"get": PUBLIC, "post": auth.WRITE}

    @blp.lists(StoreSchema, StoreFilters)
    def get(self, filters: dict[str, Any]) -> Query:
        """List stores"""
        return service.browse(**filters)

    @idempotent
    @blp.arguments(StoreSchema)
    @blp.creates(StoreSchema, service.get)
    def post(self, values: dict[str, Any]) -> Store:
        """Open a store"""
        auth.check_owner(values)
        return service.create(**{"owner_id": request.caller.user_id} | values)


@blp.route("/<uuid:pk>")
class OneStore(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.shows(StoreSchema)
    def get(self, pk: UUID) -> Query:
        """Get a store"""
        return service.get(pk)

    @blp.changes(StoreSchema, auth.writable)
    def patch(self, store: Store, changes: dict[str, Any]) -> None:
        """Change a store

        Prices are in the currency of their store: change it, and they are in the new one. Orders
        keep theirs. Stores of others are changed with the permission `stores:write:any` only.
        """
        auth.check_owner(changes)
        service.update(store, changes)

    @blp.deletes(StoreSchema, auth.writable)
    def delete(self, store: Store) -> None:
        """Close a store

        One that has products is kept: 409 names some of them.
        """
        service.delete(store)
