"""Schemas of stores: the representation and the list query."""

from typing import Any, ClassVar

from marshmallow.validate import URL

from alchemist.api.fields import (
    CodedMessage,
    Enum,
    ExternalReference,
    Pk,
    Schema,
    Text,
    UtcDateTime,
)
from alchemist.api.pagination import ListQuerySchema, ReferenceFilter, SearchText, Sort
from alchemist.api.request_query import BAD_ESCAPE_PATTERN
from alchemist.domains.users.models import User
from alchemist.domains.users.schemas import EXAMPLE_MERCHANT_PK, EXPANDED_USER, Email

from .currencies import CURRENCIES
from .models import Store

# A row of the sample data: The Crooked Ladle. It has no products, so it can be deleted.
EXAMPLE_PK = "01972892-31f9-75e5-b1aa-50b403f84c48"
EXAMPLE_REFERENCE = "STORE-08"
REFERENCE_EXAMPLES = (None, "STORE-21", "STORE-22", "STORE-23")
NAME_DESCRIPTION = "The name of the store. Several stores may have the same one."
CURRENCY_DESCRIPTION = "The currency of all prices of the store (ISO 4217)."


def required_text(description: str, example: str) -> Text:
    metadata = {"description": description}
    return Text(required=True, min=1, max=255, example=example, metadata=metadata)


class HttpUrl(Text):
    """An absolute URL with the scheme http or https. Its host name needs no dot."""

    is_valid = URL(
        schemes={"http", "https"},
        require_tld=False,
        error=CodedMessage("wrong-type", "Not a URL that begins with http:// or https://."),
    )

    default_error_messages = {
        "escape": CodedMessage("wrong-type", "Has a % that is not followed by two hex digits.")
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        url = self.is_valid(super()._deserialize(value, attr, data, **kwargs))
        if BAD_ESCAPE_PATTERN.search(url):
            raise self.make_error("escape")
        return url


class StoreSchema(Schema):
    expandable: ClassVar = {"owner": EXPANDED_USER}

    pk = Pk(dump_only=True, example=EXAMPLE_PK)
    name = required_text(NAME_DESCRIPTION, "The Crooked Ladle")
    street = required_text("Street and number.", "7 Tallow Lane")
    zipcode = required_text("The postal code.", "1050")
    city = required_text("The city or town.", "Brassel")
    country = required_text("The country, as in a postal address.", "Belgium")
    currency = Enum(
        *CURRENCIES, name="Currency", required=True, description=CURRENCY_DESCRIPTION, example="EUR"
    )
    domain = HttpUrl(
        max=255,
        allow_none=True,
        example="https://ladle.example",
        description="The URL of its website.",
        metadata={"format": "iri"},
    )
    phone = Text(
        max=64, allow_none=True, example="+32 2 555 01 23", description="The phone number."
    )
    email = Email(allow_none=True, description="The e-mail address of the store.")
    owner_id = Pk(
        references=User,
        allow_none=True,
        example=EXAMPLE_MERCHANT_PK,
        description="The owner; by default the caller.",
    )
    reference = ExternalReference(examples=REFERENCE_EXAMPLES)
    created_at = UtcDateTime(dump_only=True)
    updated_at = UtcDateTime(dump_only=True)


class StoreListQuery(ListQuerySchema):
    sort = Sort(Store.pk, Store.name, Store.created_at, Store.updated_at)
    city = Text(max=255, example="Brassel", description="Stores in exactly this city.")
    country = Text(max=255, example="Belgium", description="Stores in exactly this country.")
    currency = Enum(
        *CURRENCIES, name="Currency", description="Stores with this currency.", example="EUR"
    )
    owner_id = Pk(example=EXAMPLE_MERCHANT_PK, description="Stores of this user.")
    reference = ReferenceFilter(example=EXAMPLE_REFERENCE)
    q = SearchText("Stores with all these words in name, street or city.", example="crooked ladle")
