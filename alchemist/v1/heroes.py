"""The older service of heroes."""

from typing import Any
from uuid import UUID

from marshmallow.fields import Boolean

from alchemist.db import Query
from alchemist.fields import Choice, Pk, Text
from alchemist.heroes import auth, service
from alchemist.heroes.models import ROLES, Hero
from alchemist.heroes.schemas import EXAMPLE, NICKNAME, NICKNAMES, ROLE
from alchemist.rest import PUBLIC
from alchemist.rest.request import request

from . import PREFIX
from .contract import Blueprint, Resource, Schema

blp = Blueprint(
    "v1-heroes", __name__, url_prefix=f"{PREFIX}/heroes", description="The older service of heroes."
)
ABSENT = "The hero hasn't been found!"


class HeroSchema(Schema):
    uuid = Pk(
        dump_only=True,
        attribute="pk",
        example=EXAMPLE,
        metadata={"description": "The primary key of the hero."},
    )
    nickname = Text(
        required=True,
        min=1,
        max=255,
        metadata={"description": NICKNAME, "examples": list(NICKNAMES)},
    )
    role = Choice(*ROLES, allow_none=True, metadata={"description": ROLE, "examples": ["priest"]})


class FarewellSchema(Schema):
    status = Boolean(metadata={"description": "Always true.", "examples": [True]})
    message = Text(
        max=100,
        example="The hero has been deleted!",
        metadata={"description": "Says that it is done."},
    )


@blp.route("")
class OldHeroes(Resource):
    permissions = {"post": auth.WRITE}

    @blp.arguments(HeroSchema)
    @blp.makes(HeroSchema, service.get)
    def post(self, values: dict[str, Any]) -> Hero:
        """Create a hero"""
        return service.create(user_id=request.caller.user_id, **values)


@blp.route("/<uuid:pk>")
class OldHero(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.one_of(HeroSchema, ABSENT)
    def get(self, pk: UUID) -> Query:
        """Get a hero"""
        return service.get(pk)

    @blp.edits(HeroSchema, auth.writable, ABSENT)
    def patch(self, hero: Hero, changes: dict[str, Any]) -> None:
        """Change a hero"""
        service.update(hero, changes)

    @blp.drops(
        auth.writable,
        FarewellSchema,
        {"status": True, "message": "The hero has been deleted!"},
        ABSENT,
    )
    def delete(self, hero: Hero) -> None:
        """Delete a hero"""
        service.delete(hero)
