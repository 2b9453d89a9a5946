"""Heroes of v1."""

from typing import Any
from uuid import UUID

from marshmallow.fields import Boolean

from alchemist.api import PUBLIC
from alchemist.api.fields import Enum
from alchemist.api.request import request
from alchemist.database import Query
from alchemist.domains.heroes import auth, service
from alchemist.domains.heroes.models import ROLES, Hero
from alchemist.domains.heroes.schemas import (
    EXAMPLE_PK,
    NICKNAME_DESCRIPTION,
    NICKNAME_EXAMPLES,
    ROLE_DESCRIPTION,
)

from . import PREFIX
from .blueprint import Blueprint, Resource
from .fields import TextOrNumber, UuidOrHex
from .schema import Schema

blp = Blueprint("v1-heroes", __name__, url_prefix=f"{PREFIX}/heroes", description="Heroes.")
NOT_FOUND = "The hero hasn't been found!"
CONFLICT = "This nickname is taken. Unlike before, no two heroes have the same nickname."
DELETED = {"status": True, "message": "The hero has been deleted!"}


class HeroSchema(Schema):
    uuid = UuidOrHex(
        dump_only=True,
        attribute="pk",
        example=EXAMPLE_PK,
        metadata={"description": "The primary key of the hero."},
    )
    nickname = TextOrNumber(
        required=True,
        min=1,
        max=255,
        metadata={"description": NICKNAME_DESCRIPTION, "examples": list(NICKNAME_EXAMPLES)},
    )
    role = Enum(
        *ROLES,
        name="HeroRole",
        allow_none=True,
        metadata={"description": ROLE_DESCRIPTION, "examples": ["priest"]},
    )


class HeroDeletedSchema(Schema):
    status = Boolean(metadata={"description": "Always true.", "examples": [True]})
    message = TextOrNumber(
        max=100,
        example="The hero has been deleted!",
        metadata={"description": "The confirmation."},
    )


@blp.route("")
class V1HeroList(Resource):
    permissions = {"post": auth.WRITE}

    @blp.create(
        HeroSchema,
        service.by_pk,
        body=HeroSchema,
        conflict_detail=CONFLICT,
        problems=["already-exists"],
    )
    def post(self, values: dict[str, Any]) -> Hero:
        """Create a hero"""
        return service.create(user_id=request.caller.user_id, **values)


@blp.route("/<uuid_or_hex:pk>")
class V1HeroItem(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.retrieve(HeroSchema, not_found_detail=NOT_FOUND)
    def get(self, pk: UUID) -> Query:
        """Get a hero"""
        return service.by_pk(pk)

    @blp.update(
        HeroSchema,
        auth.writable_query,
        not_found_detail=NOT_FOUND,
        conflict_detail=CONFLICT,
        problems=["already-exists"],
    )
    def patch(self, hero: Hero, changes: dict[str, Any]) -> None:
        """Change a hero"""
        service.update(hero, changes)

    @blp.destroy(
        auth.writable_query,
        schema=HeroDeletedSchema,
        answer=DELETED,
        not_found_detail=NOT_FOUND,
    )
    def delete(self, hero: Hero) -> None:
        """Delete a hero"""
        service.delete(hero)
