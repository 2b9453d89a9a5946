"""Heroes over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.db import Query
from alchemist.idempotency import idempotent
from alchemist.rest import PUBLIC, Blueprint, Resource
from alchemist.rest.request import request

from . import auth, service
from .models import Hero
from .schemas import HeroFilters, HeroSchema

blp = Blueprint(
    "heroes", __name__, url_prefix="/api/v2/heroes", description="Those who drink the potions."
)


@blp.route("")
class Heroes(Resource):
    permissions = {"get": PUBLIC, "post": auth.WRITE}

    @blp.lists(HeroSchema, HeroFilters)
    def get(self, filters: dict[str, Any]) -> Query:
        """List heroes"""
        return service.browse(**filters)

    @idempotent
    @blp.arguments(HeroSchema)
    @blp.creates(HeroSchema, service.get)
    def post(self, values: dict[str, Any]) -> Hero:
        """Create a hero"""
        auth.check_owner(values)
        return service.create(**{"user_id": request.caller.user_id} | values)


@blp.route("/<uuid:pk>")
class OneHero(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.shows(HeroSchema)
    def get(self, pk: UUID) -> Query:
        """Get a hero"""
        return service.get(pk)

    @blp.changes(HeroSchema, auth.writable)
    def patch(self, hero: Hero, changes: dict[str, Any]) -> None:
        """Change a hero

        Heroes of others are changed with the permission `heroes:write:any` only.
        """
        auth.check_owner(changes)
        service.update(hero, changes)

    @blp.deletes(HeroSchema, auth.writable)
    def delete(self, hero: Hero) -> None:
        """Delete a hero"""
        service.delete(hero)
