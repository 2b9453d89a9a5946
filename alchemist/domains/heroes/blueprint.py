"""Heroes over HTTP."""

from typing import Any
from uuid import UUID

from alchemist.api import PUBLIC, Blueprint, Resource
from alchemist.api.batch_resource import add_batch
from alchemist.api.idempotency import idempotent
from alchemist.api.request import request
from alchemist.database import Query

from . import auth, service
from .models import Hero
from .schemas import HeroListQuery, HeroSchema

blp = Blueprint(
    "heroes",
    __name__,
    url_prefix="/api/v2/heroes",
    description="Heroes, for whom users order potions.",
)


@blp.route("")
class HeroList(Resource):
    permissions = {"get": PUBLIC, "post": auth.WRITE}

    @blp.list(HeroSchema, HeroListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List heroes"""
        return service.list_query(**filters)

    @idempotent
    @blp.create(HeroSchema, service.by_pk, body=HeroSchema, problems=["already-exists"])
    def post(self, values: dict[str, Any]) -> Hero:
        """Create a hero"""
        auth.check_owner(values)
        return service.create(**{"user_id": request.caller.user_id} | values)


@blp.route("/<uuid:pk>")
class HeroItem(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.retrieve(HeroSchema)
    def get(self, pk: UUID) -> Query:
        """Get a hero"""
        return service.by_pk(pk)

    @blp.update(HeroSchema, auth.writable_query, problems=["already-exists"])
    def patch(self, hero: Hero, changes: dict[str, Any]) -> None:
        """Change a hero

        A hero of another user needs the permission `heroes:write:any`.
        """
        auth.check_owner(changes)
        service.update(hero, changes)

    @blp.destroy(HeroSchema, auth.writable_query, problems=["in-use"])
    def delete(self, hero: Hero) -> None:
        """Delete a hero"""
        service.delete(hero)


add_batch(blp, "/batch", HeroList, HeroItem)
