"""Stores over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.db import Query
from alchemist.idempotency import idempotent
from alchemist.rest import PUBLIC, Blueprint, Resource
from alchemist.rest.request import request

from . import service
from .models import Store
from .schemas import StoreFilters, StoreSchema

blp = Blueprint(
    "stores", __name__, url_prefix="/api/v2/stores", description="Where potions are sold."
)


def writable(pk: UUID) -> Query:
    return service.get(pk, owner=request.caller.own("stores:write"))


def check_owner(values: dict[str, Any]) -> None:
    """Let nobody give a store to somebody else, or to nobody, but who may change any store."""
    if "owner_id" in values:
        request.caller.check_own("stores:write", values["owner_id"])


@blp.route("")
class Stores(Resource):
    permissions = {"get": PUBLIC, "post": "stores:write"}

    @blp.lists(StoreSchema, StoreFilters)
    def get(self, filters: dict[str, Any]) -> Query:
        """List stores"""
        return service.browse(**filters)

    @blp.arguments(StoreSchema)
    @idempotent
    @blp.creates(StoreSchema, service.get)
    def post(self, values: dict[str, Any]) -> Store:
        """Open a store"""
        check_owner(values)
        return service.create(**{"owner_id": request.caller.user_id} | values)


@blp.route("/<uuid:pk>")
class OneStore(Resource):
    permissions = {"get": PUBLIC, "patch": "stores:write", "delete": "stores:write"}

    @blp.shows(StoreSchema)
    def get(self, pk: UUID) -> Query:
        """Get a store"""
        return service.get(pk)

    @blp.changes(StoreSchema, writable)
    def patch(self, store: Store, changes: dict[str, Any]) -> None:
        """Change a store

        Prices are in the currency of their store: change it, and they are in the new one. Orders
        keep theirs. Stores of others are changed with the permission `stores:write:any` only.
        """
        check_owner(changes)
        service.update(store, changes)

    @blp.deletes(StoreSchema, writable)
    def delete(self, store: Store) -> None:
        """Close a store

        One that has products is kept: 409 names some of them.
        """
        service.delete(store)
