"""Stores of v1."""

import re
from typing import Any
from uuid import UUID

from alchemist.api import PUBLIC, fields
from alchemist.api.fields import Enum
from alchemist.api.request import request
from alchemist.database import Query
from alchemist.domains.stores import auth, service
from alchemist.domains.stores.currencies import CURRENCIES
from alchemist.domains.stores.models import Store
from alchemist.domains.stores.schemas import (
    CURRENCY_DESCRIPTION,
    EXAMPLE_PK,
    NAME_DESCRIPTION,
    HttpUrl,
)

from . import PREFIX
from .blueprint import Blueprint, Resource
from .fields import EmailWithDisplayName, TextOrNumber, UuidOrHex
from .schema import Schema

blp = Blueprint("v1-stores", __name__, url_prefix=f"{PREFIX}/stores", description="Stores.")
NOT_FOUND = "Not Found"
MAX_HOST_LENGTH = 253
HOST_PATTERN = re.compile(r"(?<=://)(?:[^/?#]*@)?([^/?#:@\[\]]+)")

# Without an inline flag, which ECMAScript does not have.
_CODES = "|".join("".join(f"[{letter}{letter.lower()}]" for letter in code) for code in CURRENCIES)
CURRENCY_PATTERN = f"^({_CODES})$"


class CurrencyInAnyCase(Enum):
    """A currency code in any case, stored in upper case."""

    request_schema = {"enum": None, "pattern": CURRENCY_PATTERN}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        code = super()._deserialize(value, attr, data, **kwargs)
        # `str.upper` turns some letters beyond ASCII into those of a code.
        return code.upper() if code.isascii() else code


class Domain(fields.Text):
    """An HTTP URL. Its host may contain underscores, and is stored in punycode (RFC 3492)."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        url = super()._deserialize(value, attr, data, **kwargs)
        match = HOST_PATTERN.search(url)
        if match is None:
            return HttpUrl.is_valid(url)
        before, host, after = url[: match.start(1)], _host_to_ascii(match[1]), url[match.end(1) :]
        # The validator knows no underscores, which a host may contain (RFC 3986 §3.2.2).
        HttpUrl.is_valid(f"{before}{host.replace('_', '0')}{after}")
        return f"{before}{host}{after}"


def _host_to_ascii(host: str) -> str:
    """Return an internationalized host in ASCII (RFC 3490); what cannot be converted, as it is."""
    if host.isascii() or len(host) > MAX_HOST_LENGTH:
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def required_text(description: str, example: str) -> TextOrNumber:
    metadata = {"description": description}
    return TextOrNumber(required=True, min=1, max=255, example=example, metadata=metadata)


class StoreSchema(Schema):
    name = required_text(NAME_DESCRIPTION, "The Crooked Ladle")
    city = required_text("The city or town.", "Brassel")
    country = required_text("The country, as in a postal address.", "Belgium")
    currency = CurrencyInAnyCase(
        *CURRENCIES,
        name="Currency",
        required=True,
        description=f"{CURRENCY_DESCRIPTION} Accepted in any case, returned in upper case.",
        example="EUR",
    )
    domain = Domain(
        max=255,
        allow_none=True,
        example="https://ladle.example",
        description="The URL of the website.",
        metadata={"format": "iri"},
    )
    zipcode = required_text("The postal code.", "90210")
    street = required_text("Street and number.", "7 Tallow Lane")
    phone = TextOrNumber(
        max=64, allow_none=True, example="+32 2 555 01 23", description="The phone number."
    )
    email = EmailWithDisplayName(
        allow_none=True,
        description="The e-mail address of the store. A display name before it is dropped.",
    )
    store_id = UuidOrHex(
        dump_only=True,
        attribute="pk",
        data_key="storeId",
        example=EXAMPLE_PK,
        description="The primary key of the store.",
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
        """Create a store

        The caller becomes its owner.
        """
        return service.create(owner_id=request.caller.user_id, **values)


@blp.route("/<uuid_or_hex:pk>")
class V1StoreItem(Resource):
    permissions = {"get": PUBLIC, "patch": auth.WRITE, "delete": auth.WRITE}

    @blp.retrieve(StoreSchema, not_found_detail=NOT_FOUND)
    def get(self, pk: UUID) -> Query:
        """Get a store"""
        return service.by_pk(pk)

    @blp.update(
        StoreSchema,
        auth.writable_query,
        not_found_detail=NOT_FOUND,
        no_content=True,
        problems=["conflict"],
    )
    def patch(self, store: Store, changes: dict[str, Any]) -> None:
        """Change a store"""
        service.update(store, changes)

    @blp.destroy(auth.writable_query, not_found_detail=NOT_FOUND)
    def delete(self, store: Store) -> None:
        """Delete a store

        A store with products cannot be deleted: 409 names some of them.
        """
        service.delete(store)
