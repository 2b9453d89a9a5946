"""Potions over HTTP."""

from typing import Any

from alchemist.api import PUBLIC, Blueprint, Resource
from alchemist.api.batch_resource import add_batch
from alchemist.api.idempotency import idempotent
from alchemist.database import Query

from . import service
from .models import Potion
from .schemas import PotionListQuery, PotionSchema

blp = Blueprint(
    "potions",
    __name__,
    url_prefix="/api/v2/potions",
    description="Potions and their recipes.",
)


@blp.route("")
class PotionList(Resource):
    permissions = {"get": PUBLIC, "post": "potions:write"}

    @blp.list(PotionSchema, PotionListQuery)
    def get(self, filters: dict[str, Any]) -> Query:
        """List potions"""
        return service.list_query(**filters)

    @idempotent
    @blp.create(PotionSchema, service.by_pk, body=PotionSchema, problems=["already-exists"])
    def post(self, values: dict[str, Any]) -> Potion:
        """Create a potion"""
        return service.brew(**values)


@blp.route("/<uuid:pk>")
class PotionItem(Resource):
    permissions = {"get": PUBLIC, "patch": "potions:write", "delete": "potions:write"}

    @blp.retrieve(PotionSchema)
    def get(self, pk: Any) -> Query:
        """Get a potion"""
        return service.by_pk(pk)

    @blp.update(PotionSchema, service.by_pk, problems=["already-exists"])
    def patch(self, potion: Potion, changes: dict[str, Any]) -> None:
        """Update a potion

        A new list of ingredients replaces the whole list.
        """
        service.update(potion, changes)

    @blp.destroy(PotionSchema, service.by_pk, problems=["in-use"])
    def delete(self, potion: Potion) -> None:
        """Delete a potion"""
        service.delete(potion)


add_batch(blp, "/batch", PotionList, PotionItem)
