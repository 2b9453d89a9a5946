"""The store as clients see it."""

from typing import Any

from iso4217 import Currency
from marshmallow.validate import URL

from alchemist.api.fields import CodedMessage, Enum, Pk, Schema, Text, UtcDateTime
from alchemist.api.pagination import ListQuerySchema, Sort
from alchemist.domains.users.models import User
from alchemist.domains.users.schemas import EXAMPLE_MERCHANT_PK, Email

from .models import Store

# Metals and testing codes have no minor unit, and are no money.
CURRENCIES = sorted(currency.code for currency in Currency if currency.exponent is not None)
# In the example apothecary: The Crooked Ladle, which sells nothing yet and can be deleted.
EXAMPLE_PK = "01972892-31f9-75e5-b1aa-50b403f84c48"
NAME_DESCRIPTION = "What it says above the door; others may have the same name."
CURRENCY_DESCRIPTION = "The currency of its prices (ISO 4217)."


def required_text(meaning: str, example: str) -> Text:
    return Text(required=True, min=1, max=255, example=example, metadata={"description": meaning})


class HttpUrl(Text):
    """An absolute URL of the web, host names without a dot included."""

    is_valid = URL(
        schemes={"http", "https"},
        require_tld=False,
        error=CodedMessage("wrong-type", "Not a URL that begins with http:// or https://."),
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return self.is_valid(super()._deserialize(value, attr, data, **kwargs))


class StoreSchema(Schema):
    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    name = required_text(NAME_DESCRIPTION, "The Crooked Ladle")
    street = required_text("Street and number.", "7 Tallow Lane")
    zipcode = required_text("The postal code.", "1050")
    city = required_text("The city or town.", "Brassel")
    country = required_text("The country, as it is written on letters.", "Belgium")
    currency = Enum(
        *CURRENCIES,
        required=True,
        metadata={"description": CURRENCY_DESCRIPTION, "examples": ["EUR"]},
    )
    domain = HttpUrl(
        max=255,
        allow_none=True,
        example="https://ladle.example",
        metadata={"description": "Where it is on the web.", "format": "uri"},
    )
    phone = Text(
        max=64,
        allow_none=True,
        example="+32 2 555 01 23",
        metadata={"description": "As it is dialled."},
    )
    email = Email(allow_none=True, metadata={"description": "Where to write to."})
    owner_id = Pk(
        references=User,
        visible_to="stores:write",
        allow_none=True,
        example=EXAMPLE_MERCHANT_PK,
        metadata={"description": "Who runs it; by default who creates it."},
    )
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class StoreListQuery(ListQuerySchema):
    sort = Sort(Store.pk, Store.name, Store.created_at)
    city = Text(max=255, example="Brassel", metadata={"description": "Exactly this city."})
    country = Text(max=255, example="Belgium", metadata={"description": "Exactly this country."})
    currency = Enum(
        *CURRENCIES, metadata={"description": "Prices in this currency.", "examples": ["EUR"]}
    )
    owner_id = Pk(example=EXAMPLE_MERCHANT_PK, metadata={"description": "Stores of this user."})
    q = Text(
        max=200,
        min=1,
        example="crooked ladle",
        metadata={"description": "Words in name, street or city, in any order and case."},
    )
