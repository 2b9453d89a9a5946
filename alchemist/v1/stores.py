"""The stores of the older service of stores, products and orders."""

from typing import Any
from uuid import UUID

from alchemist.api import PUBLIC
from alchemist.api.fields import Enum, Pk, Text
from alchemist.api.request import request
from alchemist.database import Query
from alchemist.domains.stores import auth, service
from alchemist.domains.stores.models import Store
from alchemist.domains.stores.schemas import (
    CURRENCIES,
    CURRENCY_DESCRIPTION,
    EXAMPLE_PK,
    NAME_DESCRIPTION,
    HttpUrl,
    required_text,
)
from alchemist.domains.users.schemas import Email

from . import PREFIX
from .blueprint import Blueprint, Resource, Schema

blp = Blueprint(
    "v1-stores",
    __name__,
    url_prefix=f"{PREFIX}/stores",
    description="The older service of stores, products and orders: stores.",
)
NOT_FOUND = "Not Found"


class Currency(Enum):
    """The code of a currency, in any case."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        code = super()._deserialize(value, attr, data, **kwargs)
        # Beyond ASCII there are letters that become those of a code.
        return code.upper() if code.isascii() else code


class StoreSchema(Schema):
    name = required_text(NAME_DESCRIPTION, "The Crooked Ladle")
    city = required_text("The city or town.", "Brassel")
    country = required_text("The country, as it is written on letters.", "Belgium")
    currency = Currency(
        *CURRENCIES,
        required=True,
        metadata={
            "description": f"{CURRENCY_DESCRIPTION} Read in any case, answered in capitals.",
            "examples": ["EUR"],
        },
    )
    domain = HttpUrl(
        max=255,
        allow_none=True,
        example="https://ladle.example",
        metadata={"description": "Where it is on the web.", "format": "iri"},
    )
    zipcode = required_text("The postal code.", "90210")
    street = required_text("Street and number.", "7 Tallow Lane")
    phone = Text(
        max=64,
        allow_none=True,
        example="+32 2 555 01 23",
        metadata={"description": "As it is dialled."},
    )
    email = Email(allow_none=True, metadata={"description": "Where to write to."})
    store_id = Pk(
        dump_only=True,
        attribute="pk",
        data_key="storeId",
        example=EXAMPLE_PK,
        metadata={"description": "The primary key of the store."},
    )


@blp.route("/")
class V1StoreList(Resource):
    permissions = {"get": PUBLIC, "post": auth.WRITE}

    @blp.list(StoreSchema)
    def get(self) -> Query:
        """List stores"""
        return service.list_query()

    @blp.create(StoreSchema, service.by_pk, body=StoreSchema)
    def post(self, values: dict[str, Any]) -> Store:
        """Open a store

        It belongs to who opens it.
        """
        return service.create(owner_id=request.caller.user_id, **values)


@blp.route("/<uuid_or_hex:pk>")
class V1StoreItem(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.retrieve(StoreSchema, NOT_FOUND)
    def get(self, pk: UUID) -> Query:
        """Get a store"""
        return service.by_pk(pk)

    @blp.update(StoreSchema, auth.writable_query, NOT_FOUND, silently=True)
    def patch(self, store: Store, changes: dict[str, Any]) -> None:
        """Change a store"""
        service.update(store, changes)

    @blp.destroy(auth.writable_query, absent=NOT_FOUND)
    def delete(self, store: Store) -> None:
        """Close a store

        One that has products is kept: 409 names some of them.
        """
        service.delete(store)
