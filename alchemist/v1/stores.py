"""The stores of the older service of stores, products and orders."""

from typing import Any
from uuid import UUID

from alchemist.db import Query
from alchemist.fields import Choice, Pk, Text
from alchemist.rest import PUBLIC
from alchemist.rest.request import request
from alchemist.stores import auth, service
from alchemist.stores.models import Store
from alchemist.stores.schemas import CURRENCIES, CURRENCY, EXAMPLE, NAME, WebAddress, required
from alchemist.users.schemas import Email

from . import PREFIX
from .contract import Blueprint, Resource, Schema

blp = Blueprint(
    "v1-stores",
    __name__,
    url_prefix=f"{PREFIX}/stores",
    description="The older service of stores, products and orders: stores.",
)
ABSENT = "Not Found"


class Currency(Choice):
    """The code of a currency, in any case."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        code = super()._deserialize(value, attr, data, **kwargs)
        # Beyond ASCII there are letters that become those of a code.
        return code.upper() if code.isascii() else code


class StoreSchema(Schema):
    name = required(NAME, "The Crooked Ladle")
    city = required("The city or town.", "Brassel")
    country = required("The country, as it is written on letters.", "Belgium")
    currency = Currency(
        *CURRENCIES,
        required=True,
        metadata={
            "description": f"{CURRENCY} Read in any case, answered in capitals.",
            "examples": ["EUR"],
        },
    )
    domain = WebAddress(
        max=255,
        allow_none=True,
        example="https://ladle.example",
        metadata={"description": "Where it is on the web.", "format": "uri"},
    )
    zipcode = required("The postal code.", "90210")
    street = required("Street and number.", "7 Tallow Lane")
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
        example=EXAMPLE,
        metadata={"description": "The primary key of the store."},
    )


@blp.route("/")
class OldStores(Resource):
    permissions = {"get": PUBLIC, "post": auth.WRITE}

    @blp.all_of(StoreSchema)
    def get(self) -> Query:
        """List stores"""
        return service.browse()

    @blp.arguments(StoreSchema)
    @blp.makes(StoreSchema, service.get)
    def post(self, values: dict[str, Any]) -> Store:
        """Open a store

        It belongs to who opens it.
        """
        return service.create(owner_id=request.caller.user_id, **values)


@blp.route("/<uuid:pk>")
class OldStore(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.one_of(StoreSchema, ABSENT)
    def get(self, pk: UUID) -> Query:
        """Get a store"""
        return service.get(pk)

    @blp.edits(StoreSchema, auth.writable, ABSENT, silently=True)
    def patch(self, store: Store, changes: dict[str, Any]) -> None:
        """Change a store"""
        service.update(store, changes)

    @blp.drops(auth.writable, absent=ABSENT)
    def delete(self, store: Store) -> None:
        """Close a store

        One that has products is kept: 409 names some of them.
        """
        service.delete(store)
