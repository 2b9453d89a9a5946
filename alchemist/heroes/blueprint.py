"""Heroes over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.db import Query
from alchemist.idempotency import idempotent
from alchemist.rest import PUBLIC, Blueprint, Resource
from alchemist.rest.request import request

from . import service
from .models import Hero
from .schemas import HeroFilters, HeroSchema

blp = Blueprint(
    "heroes", __name__, url_prefix="/api/v2/heroes", description="Those who drink the potions."
)


def writable(pk: UUID) -> Query:
    return service.get(pk, owner=request.caller.own("heroes:write"))


def check_owner(values: dict[str, Any]) -> None:
    """Let nobody give a hero to somebody else, or to nobody, but who may change any hero."""
    if "user_id" in values:
        request.caller.check_own("heroes:write", values["user_id"])


@blp.route("")
class Heroes(Resource):
    permissions = {"get": PUBLIC, "post": "heroes:write"}

    @blp.lists(HeroSchema, HeroFilters)
    def get(self, filters: dict[str, Any]) -> Query:
        """List heroes"""
        return service.browse(**filters)

    @blp.arguments(HeroSchema)
    @idempotent
    @blp.creates(HeroSchema, service.get)
    def post(self, values: dict[str, Any]) -> Hero:
        """Create a hero"""
        check_owner(values)
        return service.create(**{"user_id": request.caller.user_id} | values)


@blp.route("/<uuid:pk>")
class OneHero(Resource):
    permissions = {"get": PUBLIC, "patch": "heroes:write", "delete": "heroes:write"}

    @blp.shows(HeroSchema)
    def get(self, pk: UUID) -> Query:
        """Get a hero"""
        return service.get(pk)

    @blp.changes(HeroSchema, writable)
    def patch(self, hero: Hero, changes: dict[str, Any]) -> None:
        """Change a hero

        Heroes of others are changed with the permission `heroes:write:any` only.
        """
        check_owner(changes)
        service.update(hero, changes)

    @blp.deletes(HeroSchema, writable)
    def delete(self, hero: Hero) -> None:
        """Delete a hero"""
        service.delete(hero)
